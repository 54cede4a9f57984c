/**
 * What a daemon says beside what is there. The daemon's own lists are turned into the statements that must hold of the kernel and
 * of the exec root (`wanted`); `ip`, `nft`, /proc and the file system say which do (`found`). Nothing of ours may be there that is
 * not wanted: an orphan is a statement too many.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Network } from '../../src/model/network.ts';
import type { Endpoint, Sandbox } from '../../src/model/sandbox.ts';
import type { TestDaemon } from './daemon.ts';

export interface Claims {
  readonly networks: readonly Network[];
  readonly sandboxes: readonly Sandbox[];
}

/** What the daemon lists. */
export async function claims(daemon: TestDaemon): Promise<Claims> {
  const [networks, sandboxes] = await Promise.all([
    daemon.request('GET', '/moor/networks'),
    daemon.request('GET', '/moor/sandboxes'),
  ]);
  return {
    networks: (networks.json() as { readonly network: Network }[]).map(({ network }) => network),
    sandboxes: sandboxes.json() as Sandbox[],
  };
}

export interface IpLink {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly master?: string;
  readonly ifalias?: string;
  readonly linkinfo?: { readonly info_kind?: string; readonly info_slave_data?: { readonly isolated?: boolean } };
  readonly addr_info?: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
}

interface IpRoute {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
}

interface Stack {
  readonly links: readonly IpLink[];
  readonly routes: readonly IpRoute[];
  /** `table ip moor_dns`, `udp 127.0.0.11:14` */
  readonly names: readonly string[];
}

/** `ip -j` prints nothing at all for some empty lists. */
const list = <T>(text: string): readonly T[] => (text.trim() === '' ? [] : (JSON.parse(text) as readonly T[]));

/** Links of the daemon's namespace, with addresses. */
export const hostLinks = async (daemon: TestDaemon): Promise<readonly IpLink[]> =>
  list<IpLink>((await daemon.inside('ip', '-j', '-d', 'addr')).stdout);

const STACKS = `for pin in "$@"; do
  nsenter --net="$pin" sh -c 'ip -j -d addr; echo; ip -j route; echo; ip -j -6 route; echo'
  nsenter --net="$pin" nft list tables
  nsenter --net="$pin" ss -Hlnut src 127.0.0.11
  echo ----
done`;

/** Links, routes, and what answers names behind some pins, in one process start for each. */
export async function stacks(daemon: TestDaemon, pins: readonly string[]): Promise<ReadonlyMap<string, Stack>> {
  const { stdout } = await daemon.inside('sh', '-c', STACKS, 'sh', ...pins);
  const texts = stdout.split('----\n');
  return new Map(
    pins.map((pin, at) => {
      const lines = (texts[at] ?? '').split('\n').filter((line) => line.trim() !== '');
      const [links = '', four = '', six = ''] = lines.filter((line) => line.startsWith('['));
      const routes = [...list<IpRoute>(four), ...list<IpRoute>(six)];
      return [pin, { links: list<IpLink>(links), routes, names: lines.filter((line) => !line.startsWith('[')).map(namesText) }];
    }),
  );
}

/** A line of `nft list tables`, or of `ss`: protocol, state, two lengths of queues, address. */
function namesText(line: string): string {
  const [protocol, , , , address] = line.trim().split(/\s+/);
  return line.startsWith('table ') ? line : `${protocol} ${address}`;
}

type NftJson = {
  readonly nftables: readonly Readonly<Record<string, { readonly name: string; readonly elem?: readonly unknown[] }>>[];
};

/** `SET KEY` of each element of the daemon's table, sorted; null when there is no table. */
export async function elements(daemon: TestDaemon): Promise<readonly string[] | null> {
  const { code, stdout } = await daemon.inside('nft', '-j', 'list', 'table', 'inet', 'moor');
  if (code !== 0) return null;
  return (JSON.parse(stdout) as NftJson).nftables
    .flatMap(({ set, map }) => [set, map].flatMap((one) => (one?.elem ?? []).map((elem) => `${one?.name} ${keyOf(elem)}`)))
    .toSorted();
}

function keyOf(elem: unknown): string {
  if (Array.isArray(elem)) return keyOf(elem[0]);
  if (typeof elem === 'object' && elem !== null && 'concat' in elem) return (elem.concat as readonly unknown[]).join(' . ');
  return String(elem);
}

/** Mount points of namespaces in the daemon's mount namespace below its exec root (proc_pid_mountinfo(5)). */
export const mountedPins = ({ holder, directory }: TestDaemon): readonly string[] =>
  readFileSync(`/proc/${holder}/mountinfo`, 'utf8')
    .split('\n')
    .filter((line) => line.includes(' - nsfs '))
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(directory));

const names = (path: string): readonly string[] => (existsSync(path) ? readdirSync(path) : []);

const bridgeOf = ({ id, options }: Network): string => options['com.docker.network.bridge.name'] ?? `br-${id.slice(0, 12)}`;

/** The kernel makes them with the link (RFC 4291 section 2.5.6). */
const LINK_LOCAL = /^fe80:/;

export interface TruthOptions {
  /** Links that the test itself has put into the daemon's namespace. */
  readonly foreign?: readonly string[];
  /** Which sandboxes to look into; default all. */
  readonly look?: (sandbox: Sandbox) => boolean;
}

/** @returns statements that hold and should not (`+`), or should and do not (`-`); empty: all is as the daemon says. */
export async function faults(daemon: TestDaemon, options: TruthOptions = {}): Promise<readonly string[]> {
  const said = await claims(daemon);
  const looked = said.sandboxes.filter(options.look ?? (() => true));
  const have = new Set(await found(daemon, looked, options.foreign ?? []));
  const want = new Set(wanted(daemon, said, looked));
  return [
    ...[...have].filter((one) => !want.has(one)).map((one) => `+ ${one}`),
    ...[...want].filter((one) => !have.has(one)).map((one) => `- ${one}`),
  ];
}

const pinOf = ({ netns }: Sandbox): string => (netns.type === 'host' ? '' : netns.path);

function wanted(daemon: TestDaemon, { networks, sandboxes }: Claims, looked: readonly Sandbox[]): readonly string[] {
  const out: string[] = ['element unanswered ::1'];
  const byId = new Map(networks.map((network) => [network.id, network]));
  for (const network of networks) {
    if (network.driver !== 'bridge') continue;
    const bridge = bridgeOf(network);
    out.push(`link ${bridge} bridge up, alias moor::${network.id}`);
    for (const { gateway, subnet } of network.pools)
      if (gateway) out.push(`address ${gateway}/${subnet.split('/')[1]} on ${bridge}`);
    out.push(`element bridges ${bridge}`, `element within ${bridge} . ${bridge}`);
    out.push(`element leaving ${bridge}`, `element entering ${bridge}`);
    out.push(`element same ${bridge} . ${bridge}`);
    for (const family of (['ipv4', 'ipv6'] as const).filter((one) => network[one] && !network.internal))
      out.push(`element masqueraded ${family} . ${bridge}`);
  }
  for (const sandbox of sandboxes) {
    out.push(`pin ${pinOf(sandbox)}`, `mount ${pinOf(sandbox)}`);
    for (const file of ['hostname', 'hosts', 'resolv.conf'])
      out.push(`file ${daemon.directory}/exec/sandboxes/${sandbox.id}/${file}`);
    for (const endpoint of sandbox.endpoints) {
      const network = byId.get(endpoint.networkId);
      if (network?.driver !== 'bridge') continue;
      const icc = network.options['com.docker.network.bridge.enable_icc'] !== 'false';
      out.push(
        `link ${endpoint.hostInterfaceName} veth up, port of ${bridgeOf(network)}${icc ? '' : ' isolated'}, alias moor::${endpoint.id}`,
      );
    }
  }
  for (const sandbox of looked) out.push(...wantedInside(sandbox, byId).map((one) => `${pinOf(sandbox)}: ${one}`));
  return out;
}

function wantedInside({ endpoints }: Sandbox, byId: ReadonlyMap<string, Network>): readonly string[] {
  const out: string[] = [];
  if (endpoints.some(({ networkId }) => byId.get(networkId)?.predefined === false)) out.push(...NAMES);
  for (const { interfaceName, ipv4, ipv6 } of endpoints) {
    out.push(`link ${interfaceName} veth up`);
    for (const address of [ipv4, ipv6]) if (address !== null) out.push(`address ${address} on ${interfaceName}`);
  }
  for (const family of [4, 6] as const) {
    const [way] = endpoints
      .flatMap((endpoint) => waysOut(endpoint, { network: byId.get(endpoint.networkId), family }))
      .toSorted((a, b) => b.priority - a.priority || (a.network < b.network ? -1 : 1));
    if (way) out.push(`default via ${way.via} dev ${way.device}`);
  }
  return out;
}

/** Of a sandbox on a network that a user made. */
const NAMES = ['table ip moor_dns', 'udp 127.0.0.11:14', 'tcp 127.0.0.11:14'];

interface WayOut {
  readonly via: string;
  readonly device: string;
  readonly priority: number;
  readonly network: string;
}

function waysOut(
  endpoint: Endpoint,
  { network, family }: { readonly network: Network | undefined; readonly family: 4 | 6 },
): readonly WayOut[] {
  if (network === undefined || network.internal || endpoint[`ipv${family}`] === null) return [];
  const via = network.pools.find((pool) => pool.family === family)?.gateway;
  return via ? [{ via, device: endpoint.interfaceName, priority: endpoint.gatewayPriority, network: network.name }] : [];
}

async function found(daemon: TestDaemon, looked: readonly Sandbox[], foreign: readonly string[]): Promise<readonly string[]> {
  const out: string[] = [];
  for (const link of await hostLinks(daemon)) {
    if (link.ifname === 'lo' || foreign.includes(link.ifname)) continue;
    const port =
      link.master === undefined ? '' : `, port of ${link.master}${link.linkinfo?.info_slave_data?.isolated ? ' isolated' : ''}`;
    out.push(`${linkText(link)}${port}, alias ${link.ifalias ?? ''}`, ...addressTexts(link));
  }
  for (const element of (await elements(daemon)) ?? []) {
    if (!/^(uplink|foreign) /.test(element)) out.push(`element ${element}`);
  }
  const exec = `${daemon.directory}/exec`;
  out.push(...names(`${exec}/netns`).map((name) => `pin ${exec}/netns/${name}`));
  out.push(...mountedPins(daemon).map((path) => `mount ${path}`));
  for (const id of names(`${exec}/sandboxes`)) {
    const files = names(`${exec}/sandboxes/${id}`);
    out.push(...(files.length === 0 ? ['(an empty folder)'] : files).map((file) => `file ${exec}/sandboxes/${id}/${file}`));
  }
  const inside = await stacks(daemon, looked.map(pinOf));
  for (const [pin, { links, routes, names: answering }] of inside) {
    const texts = [
      ...answering,
      ...links.filter(({ ifname }) => ifname !== 'lo').flatMap((link) => [linkText(link), ...addressTexts(link)]),
      ...routes.filter(({ dst }) => dst === 'default').map(({ gateway, dev }) => `default via ${gateway} dev ${dev}`),
    ];
    out.push(...texts.map((text) => `${pin}: ${text}`));
  }
  return out;
}

const linkText = ({ ifname, linkinfo, flags }: IpLink): string =>
  `link ${ifname} ${linkinfo?.info_kind ?? 'physical'} ${flags.includes('UP') ? 'up' : 'down'}`;

const addressTexts = ({ ifname, addr_info: addresses = [] }: IpLink): readonly string[] =>
  addresses
    .filter(({ local }) => !LINK_LOCAL.test(local))
    .map(({ local, prefixlen }) => `address ${local}/${prefixlen} on ${ifname}`);
