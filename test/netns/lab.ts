/**
 * A small world for the bridge driver: this process's namespace is the host (tools/testing gives each test file one of its own), `world` is
 * a machine outside to which the host has its default route, `lan` another one behind the host's second interface. Networks and sandboxes are made
 * by the driver's plans and the real kernel layer. In the end everything is taken away by the inverse plans, and the host must be as
 * before.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Id, newId } from '../../src/base/ids.ts';
import {
  addressOf,
  familyOf,
  type IpAddress,
  parseIfAddress,
  parseIp,
  parsePrefix,
  type Prefix,
  prefixOf,
} from '../../src/base/ip.ts';
import { macFromIpv4, randomMac } from '../../src/base/mac.ts';
import type { Change } from '../../src/contracts/change.ts';
import { silentLogger } from '../../src/base/clock.ts';
import { describe } from '../../src/contracts/describe.ts';
import type { NetworkDriver } from '../../src/contracts/driver.ts';
import { inversePlan, subsume } from '../../src/contracts/inverse.ts';
import type { Applied, HostFacts } from '../../src/contracts/kernel.ts';
import { createBridgeDriver } from '../../src/drivers/bridge/index.ts';
import { createKernel } from '../../src/kernel/kernel.ts';
import type { Instance } from '../../src/model/instance.ts';
import { hostVethName } from '../../src/model/names.ts';
import type { Network } from '../../src/model/network.ts';
import type { Endpoint } from '../../src/model/sandbox.ts';
import { at, HERE, PORT, pings, type Place, serve } from './packets.ts';

export const INSTANCE: Instance = { id: 't', dataRoot: '/run/moor-data', execRoot: '/run/moor' };

export const TABLE = 'moor_t';

/** Documentation addresses (RFC 5737, RFC 3849). */
export const HOST4 = '198.51.100.1';
export const WORLD4 = '198.51.100.2';
export const HOST6 = '2001:db8:1::1';
export const WORLD6 = '2001:db8:1::2';
export const LAN4 = '203.0.113.2';

export interface Sandbox {
  /** Pin of its namespace. */
  readonly place: Place;
  readonly endpoint: Endpoint;
  /** Its IPv4 and IPv6 address. */
  readonly ip: string;
  readonly ip6: string;
}

export interface Lab extends AsyncDisposable {
  readonly world: Place;
  readonly lan: Place;
  readonly driver: NetworkDriver;
  /** Applies changes, all of which must succeed, and notes how to undo them. @returns what became of each. */
  readonly apply: (changes: readonly Change[]) => Promise<readonly Applied[]>;
  /** Facts of the host as the driver is told them. */
  readonly facts: () => Promise<HostFacts>;
  /** Makes a network: `10.1.0.0/24`, also an IPv6 subnet; the first address is the gateway. */
  readonly network: (subnets: string, part?: Partial<Network>) => Promise<Network>;
  /** Makes a sandbox with one endpoint, at the n-th address of each subnet, and a server in it. */
  readonly sandbox: (network: Network, n: number) => Promise<Sandbox>;
}

export interface LabOptions {
  /** Runs on the host, in a world that is ready, before anything of ours, as part of what must be the same afterwards. */
  readonly prepare?: (stack: AsyncDisposableStack) => Promise<void>;
  readonly facts?: Partial<HostFacts>;
}

export async function createLab(options: LabOptions = {}): Promise<Lab> {
  await using stack = new AsyncDisposableStack();
  const world = await outside(stack, {
    name: 'world',
    device: 'up0',
    host: [`${HOST4}/24`, `${HOST6}/64`],
    peer: [`${WORLD4}/24`, `${WORLD6}/64`],
  });
  const lan = await outside(stack, { name: 'lan', device: 'lan0', host: ['203.0.113.1/24'], peer: [`${LAN4}/24`] });
  await at(HERE, 'ip', 'route', 'add', 'default', 'via', WORLD4);
  await at(lan, 'ip', 'route', 'add', 'default', 'via', '203.0.113.1');
  // So that a packet with a foreign source could come back, if the host let it through.
  await at(world, 'ip', 'route', 'add', '203.0.113.0/24', 'via', HOST4);
  await options.prepare?.(stack);

  // The kernel keeps the folders of an instance; making them is up to the daemon.
  for (const folder of [INSTANCE.execRoot, INSTANCE.dataRoot]) {
    mkdirSync(folder, { recursive: true });
    stack.defer(() => rmSync(folder, { recursive: true }));
  }
  const kernel = stack.use(await createKernel({ instance: INSTANCE, tableName: TABLE, logger: silentLogger }));
  const original = await kernel.facts();
  const before = await snapshot();
  let undo: Change[] = [];
  const apply = async (changes: readonly Change[]): Promise<readonly Applied[]> => {
    const applied = await kernel.apply(changes);
    undo = [...inversePlan(changes, applied), ...undo];
    applied.forEach((result, at) => {
      const change = changes[at];
      if (result.state === 'failed' && change) throw new Error(`${describe(change)}: ${result.error.message}`);
    });
    return applied;
  };
  stack.defer(async () => {
    const changes = subsume(undo);
    const failures = (await kernel.apply(changes, { keepGoing: true })).flatMap((result) =>
      result.state === 'failed' ? [result.error.message] : [],
    );
    assert.deepEqual(failures, []);
    // Those that are meant to stay as they are (IPv6 forwarding, which also brings anycast routes).
    for (const [key, value] of before.sysctls) writeFileSync(`/proc/sys/${key}`, value);
    assert.deepEqual((await snapshot()).state, before.state);
  });
  const servers = stack.use(new AsyncDisposableStack());

  const driver = createBridgeDriver({ instance: INSTANCE });
  // As the engine does: sysctls from before this instance changed them, and a table that is ready for ports.
  const facts = async (): Promise<HostFacts> => ({
    ...(await kernel.facts()),
    sysctls: original.sysctls,
    localhostPorts: true,
    ...options.facts,
  });
  const networks: Network[] = [];

  const network = async (subnets: string, part: Partial<Network> = {}): Promise<Network> => {
    const pools = subnets.split(' ').map((text) => {
      const subnet: Prefix = parsePrefix(text);
      return { family: familyOf(subnet), subnet, gateway: nth(subnet, 1), range: null, auxiliary: {}, configured: true };
    });
    const made: Network = {
      id: newId(),
      name: `net${networks.length}`,
      created: '2026-01-01T00:00:00.000Z',
      driver: 'bridge',
      scope: 'local',
      ipv4: pools.some(({ family }) => family === 4),
      ipv6: pools.some(({ family }) => family === 6),
      internal: false,
      attachable: false,
      options: {},
      labels: {},
      ipamDriver: 'default',
      ipamOptions: {},
      pools,
      predefined: false,
      ...part,
    };
    driver.check(made, networks);
    networks.push(made);
    await apply(driver.planNetwork(made, await facts()));
    return made;
  };

  const sandbox = async (on: Network, n: number): Promise<Sandbox> => {
    const id: Id = newId();
    const place = `${INSTANCE.execRoot}/netns/${id.slice(0, 12)}`;
    const addresses = on.pools.map(({ subnet }) => parseIfAddress(`${nth(subnet, n)}/${subnet.split('/')[1]}`));
    const ipv4 = addresses.find((address) => familyOf(address) === 4) ?? null;
    const ipv6 = addresses.find((address) => familyOf(address) === 6) ?? null;
    const endpoint: Endpoint = {
      id,
      networkId: on.id,
      sandboxId: id,
      created: on.created,
      interfaceName: `${driver.interfacePrefix(on)}0`,
      hostInterfaceName: hostVethName(id),
      mac: ipv4 === null ? randomMac() : macFromIpv4(addressOf(ipv4)),
      ipv4,
      ipv6,
      requested: {},
      aliases: [],
      gatewayPriority: 0,
      options: {},
    };
    const { changes, gateway4, gateway6 } = driver.planJoin(on, { endpoint, netns: place }, await facts());
    // What the engine adds to a join: the namespace, the default routes.
    await apply([
      { kind: 'netns', op: 'add', path: place },
      ...changes,
      ...[gateway4, gateway6].flatMap((via) => defaultRoute(place, endpoint, via)),
    ]);
    servers.use(await serve(place));
    return { place, endpoint, ip: ipv4 === null ? '' : addressOf(ipv4), ip6: ipv6 === null ? '' : addressOf(ipv6) };
  };

  await apply(driver.planHost?.(await facts()) ?? []);
  // The first packet on a new link may wait for its neighbour.
  assert.ok(await pings(HERE, WORLD4));
  const owned = stack.move();
  return { world, lan, driver, apply, facts, network, sandbox, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const nth = (subnet: Prefix, n: number): IpAddress =>
  parseIp(familyOf(subnet) === 6 ? `${subnet.split('/')[0]}${n.toString(16)}` : addressOf(subnet).replace(/0$/, String(n)));

function defaultRoute(netns: Place, { interfaceName: device }: Endpoint, via: IpAddress | null): Change[] {
  if (via === null) return [];
  return [{ kind: 'route', op: 'add', netns, route: { destination: prefixOf(via, 0), via, device } }];
}

/** Sends what comes for the server's port at the host's outer address to another address, as publishing a port does. */
export async function publish(stack: AsyncDisposableStack, address: string): Promise<void> {
  const rule = `ip daddr ${HOST4} tcp dport ${PORT} dnat to ${address}`;
  await at(HERE, 'nft', `table ip publish { chain prerouting { type nat hook prerouting priority dstnat; ${rule}; }; }`);
  stack.defer(async () => void (await at(HERE, 'nft', 'delete table ip publish')));
}

/** A namespace with a server, on a bridge that is not ours: a container of Docker, a virtual machine. */
export async function stranger(
  stack: AsyncDisposableStack,
  name: string,
  on: { bridge: string; address: string; gateway?: string },
): Promise<Place> {
  await at(HERE, 'ip', 'netns', 'add', name);
  stack.defer(async () => void (await at(HERE, 'ip', 'netns', 'del', name)));
  const place = `/run/netns/${name}`;
  await at(
    HERE,
    'ip',
    'link',
    'add',
    `v-${name}`,
    'master',
    on.bridge,
    'up',
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    name,
  );
  // At once: a namespace that is deleted takes its links with it some time later.
  stack.defer(async () => void (await at(HERE, 'ip', 'link', 'del', `v-${name}`)));
  await at(place, 'ip', 'address', 'add', on.address, 'dev', 'eth0');
  await at(place, 'ip', 'link', 'set', 'eth0', 'up');
  if (on.gateway !== undefined) await at(place, 'ip', 'route', 'add', 'default', 'via', on.gateway);
  stack.use(await serve(place));
  // The bridge has carrier some time after its first port (linkwatch), which shows in `ip link`.
  while (readFileSync(`/sys/class/net/${on.bridge}/operstate`, 'utf8').trim() !== 'up') await sleep(10);
  return place;
}

interface Neighbourhood {
  readonly name: string;
  readonly device: string;
  readonly host: readonly string[];
  readonly peer: readonly string[];
}

/** A namespace joined to the host by a veth pair, with a server in it. */
async function outside(stack: AsyncDisposableStack, { name, device, host, peer }: Neighbourhood): Promise<Place> {
  await at(HERE, 'ip', 'netns', 'add', name);
  stack.defer(async () => void (await at(HERE, 'ip', 'netns', 'del', name)));
  // Link-local addresses are there at once, not a second later in the middle of a comparison.
  await at(HERE, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0');
  await at(HERE, 'ip', 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  stack.defer(async () => void (await at(HERE, 'ip', 'link', 'del', device)));
  const place = `/run/netns/${name}`;
  for (const [where, dev, list] of [
    [HERE, device, host],
    [place, 'eth0', peer],
  ] as const) {
    for (const address of list)
      await at(where, 'ip', 'address', 'add', address, 'dev', dev, ...(address.includes(':') ? ['nodad'] : []));
    await at(where, 'ip', 'link', 'set', dev, 'up');
  }
  await at(place, 'ip', 'link', 'set', 'lo', 'up');
  stack.use(await serve(place));
  return place;
}

const SYSCTLS = [
  'net/ipv4/ip_forward',
  'net/ipv6/conf/all/forwarding',
  'net/ipv6/conf/up0/accept_ra',
  'net/bridge/bridge-nf-call-iptables',
  'net/bridge/bridge-nf-call-ip6tables',
];

/** Fields that change by themselves. */
const VOLATILE = new Set(['handle', 'index', 'packets', 'bytes', 'preferred_life_time', 'valid_life_time', 'metainfo']);

async function snapshot(): Promise<{
  readonly state: unknown;
  readonly sysctls: readonly (readonly [key: string, value: string])[];
}> {
  const json = async (...command: readonly string[]): Promise<unknown> => {
    const text = await at(HERE, ...command);
    return text.trim() === '' ? [] : JSON.parse(text, (key, value: unknown) => (VOLATILE.has(key) ? undefined : value));
  };
  const state = {
    links: await json('ip', '-j', 'address'),
    routes4: await json('ip', '-j', '-4', 'route', 'show', 'table', 'all'),
    routes6: await json('ip', '-j', '-6', 'route', 'show', 'table', 'all'),
    rules: await json('nft', '-j', 'list', 'ruleset'),
    namespaces: await at(HERE, 'ip', 'netns'),
  };
  return { state, sysctls: SYSCTLS.map((key) => [key, readFileSync(`/proc/sys/${key}`, 'utf8').trim()] as const) };
}
