/**
 * Three hosts as network namespaces, each with a process of its own (routed-host.child.ts). `h1` and `h2` are on one segment, `h3` behind a router, which is
 * this process's namespace and the world as well.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { type Id, newId } from '../../src/base/ids.ts';
import { addressOf, parseIfAddress, parseIp, parsePrefix, type Prefix } from '../../src/base/ip.ts';
import { macFromIpv4 } from '../../src/base/mac.ts';
import type { TunnelStatus } from '../../src/contracts/tunnel.ts';
import { hostVethName } from '../../src/model/names.ts';
import type { Network } from '../../src/model/network.ts';
import type { NodePart, Peer, Underlay } from '../../src/model/node.ts';
import type { Endpoint } from '../../src/model/sandbox.ts';
import { at, end, HERE, inside, type Place, serve } from './packets.ts';
import type { Order } from './routed-host.child.ts';

export type Number = 1 | 2 | 3;
const SEGMENT = { 1: 0, 2: 0, 3: 1 } as const;

/** Underlay addresses; the router is 254 on both segments. */
export const outer4 = (n: Number): string => `10.9.${SEGMENT[n]}.${n}`;
export const outer6 = (n: Number): string => parseIp(`fd09:0:0:${SEGMENT[n]}::${n}`);
export const ROUTER4 = '10.9.0.254';
export const ROUTER6 = 'fd09::fe';

/** The sandbox of each host. */
export const inner4 = (n: Number): string => `10.244.${n}.10`;
export const inner6 = (n: Number): string => `fd44:0:0:${n}::a`;

export interface Host {
  readonly n: Number;
  readonly place: Place;
  readonly sandbox: Place;
  readonly tell: (order: Order) => Promise<unknown>;
  /** This host as the others are told of it. */
  readonly asPeer: () => Promise<Peer>;
  readonly tunnel: () => Promise<TunnelStatus | null>;
}

export interface World extends AsyncDisposable {
  readonly hosts: readonly Host[];
}

/** The segments, and nothing of ours. */
export async function createWorld(): Promise<World> {
  await using stack = new AsyncDisposableStack();
  await at(
    HERE,
    'sysctl',
    '-qw',
    'net.ipv4.ip_forward=1',
    'net.ipv6.conf.all.forwarding=1',
    'net.ipv6.conf.default.accept_dad=0',
  );
  for (const segment of [0, 1]) {
    await at(HERE, 'ip', 'link', 'add', `lan${segment}`, 'type', 'bridge');
    stack.defer(async () => void (await at(HERE, 'ip', 'link', 'del', `lan${segment}`)));
    await at(HERE, 'ip', 'link', 'set', `lan${segment}`, 'up');
    await at(HERE, 'ip', 'address', 'add', `10.9.${segment}.254/24`, 'dev', `lan${segment}`);
    await at(HERE, 'ip', 'address', 'add', `fd09:0:0:${segment}::fe/64`, 'nodad', 'dev', `lan${segment}`);
  }
  stack.use(await serve(HERE));
  const hosts: Host[] = [];
  for (const n of [1, 2, 3] as const) hosts.push(await createHost(stack, n));
  const owned = stack.move();
  return { hosts, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function createHost(stack: AsyncDisposableStack, n: Number): Promise<Host> {
  const name = `h${n}`;
  const segment = SEGMENT[n];
  const place = `/run/netns/${name}`;
  await at(HERE, 'ip', 'netns', 'add', name);
  stack.defer(async () => void (await at(HERE, 'ip', 'netns', 'del', name)));
  await at(place, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0');
  await at(
    HERE,
    'ip',
    'link',
    'add',
    name,
    'master',
    `lan${segment}`,
    'up',
    'type',
    'veth',
    'peer',
    'name',
    'eth1',
    'netns',
    name,
  );
  await at(place, 'ip', 'link', 'set', 'lo', 'up');
  await at(place, 'ip', 'address', 'add', `${outer4(n)}/24`, 'dev', 'eth1');
  await at(place, 'ip', 'address', 'add', `${outer6(n)}/64`, 'nodad', 'dev', 'eth1');
  await at(place, 'ip', 'link', 'set', 'eth1', 'up');
  await at(place, 'ip', 'route', 'add', 'default', 'via', `10.9.${segment}.254`);
  await at(place, 'ip', '-6', 'route', 'add', 'default', 'via', `fd09:0:0:${segment}::fe`);
  const [file = '', ...args] = inside(place, [process.execPath, `${import.meta.dirname}/routed-host.child.ts`, name]);
  const child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  stack.defer(() => end(child));
  stack.defer(() => {
    for (const folder of [`/run/moor-${name}`, `/run/moor-${name}-data`]) rmSync(folder, { recursive: true, force: true });
  });
  const tell = conversation(child);
  // It answers once it is ready.
  await tell(null);
  stack.defer(async () => void (await tell({ do: 'end' })));
  return {
    n,
    place,
    sandbox: `/run/moor-${name}/netns/s${n}`,
    tell,
    asPeer: async () => ({
      node: name,
      address: parseIp(outer4(n)),
      addresses: [parseIp(outer4(n)), parseIp(outer6(n))],
      subnets: [subnet(4, n), subnet(6, n)],
      own: true,
      ...((await tell({ do: 'part' })) as Omit<NodePart, 'inUse'>),
    }),
    tunnel: async () => (await tell({ do: 'tunnel' })) as TunnelStatus | null,
  };
}

/** One order, one answer; in turns. */
function conversation(child: ChildProcess): (order: Order | null) => Promise<unknown> {
  let waiting = Promise.withResolvers<unknown>();
  child.on('exit', () => waiting.reject(new Error('a host has died')));
  child.on('message', (message: { readonly value?: unknown; readonly error?: string }) => {
    if (message.error === undefined) waiting.resolve(message.value);
    else waiting.reject(new Error(message.error));
  });
  return async (order) => {
    if (order !== null) {
      waiting = Promise.withResolvers<unknown>();
      child.send(order);
    }
    return waiting.promise;
  };
}

const subnet = (family: 4 | 6, n: Number): Prefix => parsePrefix(family === 4 ? `10.244.${n}.0/24` : `fd44:0:0:${n}::/64`);

function networkOn(n: Number, part: Partial<Network>): Network {
  const pool = (family: 4 | 6, gateway: string): Network['pools'][number] => ({
    family,
    subnet: subnet(family, n),
    gateway: parseIp(gateway),
    range: null,
    auxiliary: {},
    configured: true,
  });
  return {
    id: ID,
    name: 'pods',
    created: '2026-01-01T00:00:00.000Z',
    driver: 'routed',
    scope: 'global',
    ipv4: true,
    ipv6: true,
    internal: false,
    attachable: false,
    options: {},
    labels: {},
    ipamDriver: 'default',
    ipamOptions: {},
    pools: [pool(4, `10.244.${n}.1`), pool(6, `fd44:0:0:${n}::1`)],
    ranges: [parsePrefix('10.244.0.0/16'), parsePrefix('fd44::/48')],
    predefined: false,
    ...part,
  };
}

const ID = newId();

function endpointOf(networkId: Id, [ipv4 = '', ipv6 = '']: readonly string[]): Endpoint {
  const id = newId();
  const address = parseIfAddress(ipv4);
  return {
    id,
    networkId,
    sandboxId: id,
    created: '2026-01-01T00:00:00.000Z',
    interfaceName: 'eth0',
    hostInterfaceName: hostVethName(id),
    mac: macFromIpv4(addressOf(address)),
    ipv4: address,
    ipv6: parseIfAddress(ipv6),
    requested: {},
    aliases: [],
    gatewayPriority: 0,
    options: {},
  };
}

/** A sandbox on a bridge network of one host alone. */
export async function stranger({ n, tell }: Host): Promise<Place> {
  const id = newId();
  const { ranges: _, ...base } = networkOn(n, { id, driver: 'bridge', scope: 'local', options: {} });
  const pools = base.pools.map((pool) => ({
    ...pool,
    subnet: parsePrefix(pool.family === 4 ? '172.31.0.0/24' : 'fd31::/64'),
    gateway: parseIp(pool.family === 4 ? '172.31.0.1' : 'fd31::1'),
  }));
  const place = `/run/moor-h${n}/netns/x${n}`;
  await tell({ do: 'sandbox', endpoint: endpointOf(id, ['172.31.0.7/24', 'fd31::7/64']), place, on: { ...base, pools } });
  return place;
}

/** The network on these hosts, a sandbox with a server on each, everybody everybody's peer. @returns what is not reached, by host */
export async function start(
  stack: AsyncDisposableStack,
  hosts: readonly Host[],
  part: Partial<Network>,
): Promise<readonly string[]> {
  for (const { n, tell, sandbox } of hosts) {
    const addresses = [`${outer4(n)}/24`, `${outer6(n)}/64`].map(parseIfAddress);
    const underlay: Underlay = { node: `h${n}`, device: 'eth1', mtu: 1500, addresses };
    stack.defer(async () => void (await tell({ do: 'down' })));
    await tell({ do: 'up', network: networkOn(n, part), underlay });
    const endpoint = endpointOf(ID, [`${inner4(n)}/24`, `${inner6(n)}/64`]);
    await tell({ do: 'sandbox', endpoint, place: sandbox });
    stack.use(await serve(sandbox));
  }
  const troubles: string[] = [];
  for (const host of hosts) troubles.push(await setPeers(host, hosts));
  return troubles;
}

/** Those of the list that are not the host itself. */
export async function setPeers(host: Host, others: readonly Host[]): Promise<string> {
  const peers: Peer[] = [];
  for (const other of others) if (other !== host) peers.push(await other.asPeer());
  return (await host.tell({ do: 'peers', peers })) as string;
}

const VOLATILE = new Set([
  'handle',
  'index',
  'ifindex',
  'packets',
  'bytes',
  'preferred_life_time',
  'valid_life_time',
  'metainfo',
  'linkmode',
]);

/** What a host has that somebody made. */
export async function stateOf({ place }: Host): Promise<unknown> {
  const json = async (...command: readonly string[]): Promise<unknown> => {
    const text = await at(place, ...command);
    return text.trim() === '' ? [] : JSON.parse(text, (key, value: unknown) => (VOLATILE.has(key) ? undefined : value));
  };
  return {
    links: await json('ip', '-j', 'address'),
    routes: [await json('ip', '-j', '-4', 'route'), await json('ip', '-j', '-6', 'route')],
    neighbours: await json('ip', '-j', 'neigh', 'show', 'nud', 'permanent'),
    rules: await json('nft', '-j', 'list', 'ruleset'),
  };
}
