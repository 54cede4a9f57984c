/** Networks with a part on a host only where they have endpoints, and the way out of sandboxes that have nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIfAddress } from '../../src/base/ip.ts';
import { type Change, HOST } from '../../src/contracts/change.ts';
import { network, pool, remote } from '../../src/drivers/overlay/fixture.testing.ts';
import type { Sandbox } from '../../src/model/sandbox.ts';
import { FakeCluster } from '../support/fake-cluster.ts';
import { type Bench, INSTANCE, newWorld, start, type World } from './setup.ts';

const POOLS = [pool('10.0.0.0/24', null)];
const NET = network({ ipamDriver: 'default', pools: POOLS });
const INTERNAL = network({
  id: 'b'.repeat(64) as typeof NET.id,
  name: 'closed',
  internal: true,
  ipamDriver: 'default',
  options: { 'com.docker.network.driver.overlay.vxlanid_list': '4098' },
});
const CLOSED_POOLS = [pool('10.0.1.0/24', null)];
const PIN = `${INSTANCE.execRoot}/netns/1-${NET.id.slice(0, 10)}`;

interface Lab extends AsyncDisposable {
  readonly bench: Bench;
  readonly world: World;
  readonly cluster: FakeCluster;
}

async function lab(): Promise<Lab> {
  const world = newWorld();
  await world.kernel.apply([
    { kind: 'link', op: 'add', netns: HOST, link: { name: 'eth1', kind: { type: 'dummy' }, up: true } },
    { kind: 'address', op: 'add', netns: HOST, device: 'eth1', address: parseIfAddress('192.0.2.1/24') },
  ]);
  const cluster = new FakeCluster();
  cluster.put(NET, [], POOLS);
  cluster.put(INTERNAL, [], CLOSED_POOLS);
  const bench = await start({ world, cluster });
  return { bench, world, cluster, [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose]() };
}

const create = async ({ bench }: Pick<Lab, 'bench'>, name: string, networks: readonly string[]): Promise<Sandbox> =>
  (await bench.engine.sandboxes.create({ name, networks: networks.map((one) => ({ network: one })) })).value;
const networksOf = ({ bench }: Pick<Lab, 'bench'>, name: string): string[] =>
  bench.engine.sandboxes
    .get(name)
    .endpoints.map(
      ({ networkId, interfaceName, automatic }) =>
        `${interfaceName} ${bench.engine.networks.get(networkId).name}${automatic === true ? ' (automatic)' : ''}`,
    );
const pins = ({ kernel }: World): string[] => [...kernel.spaces.byPath.keys()].filter((path) => path.includes('/1-'));
const links = ({ kernel }: World, path = PIN): string[] =>
  kernel.spaces
    .get(path)
    .dump(path)
    .links.map(({ name }) => name);
const defaultRoute = ({ kernel }: World, { netns }: Sandbox): string | undefined =>
  netns.type === 'host'
    ? undefined
    : kernel.spaces
        .get(netns.path)
        .dump(netns.path)
        .routes.find(({ destination }) => destination === '0.0.0.0/0')?.device;

test('a part on this host comes with the first endpoint, and goes with the last', async () => {
  await using here = await lab();
  const { bench, world } = here;
  assert.deepEqual(pins(world), []);
  const a = await create(here, 'sa', ['ov_net1']);
  const b = await create(here, 'sb', ['ov_net1']);
  assert.deepEqual(pins(world), [PIN]);
  const ends = [a, b].map(({ endpoints }) => endpoints[0]?.hostInterfaceName ?? '');
  assert.deepEqual(links(world), ['lo', 'br0', 'vxlan0', ...ends]);
  assert.deepEqual(await bench.engine.reconcile(), []);
  await bench.engine.sandboxes.remove('sa');
  assert.deepEqual(pins(world), [PIN]);
  await bench.engine.networks.disconnect('ov_net1', 'sb');
  assert.deepEqual(pins(world), []);
  await bench.engine.networks.connect('ov_net1', { sandbox: 'sb', endpoint: {} });
  assert.deepEqual(pins(world), [PIN]);
});

test('two first endpoints at once, of which one fails, leave the part to the other', async () => {
  await using here = await lab();
  const { world } = here;
  const refuse = (change: Change): boolean => change.kind === 'address' && change.address === '10.0.0.3/24';
  world.kernel.failWhen = refuse;
  const results = await Promise.allSettled(['sa', 'sb', 'sc'].map((name) => create(here, name, ['ov_net1'])));
  world.kernel.failWhen = undefined;
  assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'fulfilled', 'rejected']);
  assert.deepEqual(pins(world), [PIN]);
  assert.equal(links(world).length, 5);
});

test('one that cannot be made leaves nothing', async () => {
  await using here = await lab();
  const { world } = here;
  for (const kind of ['bridge', 'vxlan', 'veth'] as const) {
    world.kernel.failWhen = (change) => change.kind === 'link' && change.netns === PIN && change.link.kind.type === kind;
    await assert.rejects(create(here, 'sa', ['ov_net1']), /Operation not permitted/);
    world.kernel.failWhen = undefined;
    assert.deepEqual(pins(world), []);
  }
  await create(here, 'sa', ['ov_net1']);
});

test('a way out comes beside an overlay network, and goes when there is another', async () => {
  await using here = await lab();
  const { bench, world } = here;
  await bench.engine.networks.create({ name: 'blue', driver: 'bridge' });
  const a = await create(here, 'sa', ['ov_net1']);
  assert.deepEqual(networksOf(here, 'sa'), ['eth0 ov_net1', 'eth1 moor_gwbridge (automatic)']);
  assert.equal(defaultRoute(world, a), 'eth1');
  const gateway = bench.engine.networks.get('moor_gwbridge');
  assert.deepEqual(
    [gateway.driver, gateway.options['com.docker.network.bridge.enable_icc'], gateway.options['com.docker.network.bridge.name']],
    ['bridge', 'false', 'moor_gwbridge'],
  );
  await bench.engine.networks.connect('blue', { sandbox: 'sa', endpoint: {} });
  assert.deepEqual(networksOf(here, 'sa'), ['eth0 ov_net1', 'eth2 blue']);
  assert.equal(defaultRoute(world, a), 'eth2');
  await bench.engine.networks.disconnect('blue', 'sa');
  assert.deepEqual(networksOf(here, 'sa'), ['eth0 ov_net1', 'eth1 moor_gwbridge (automatic)']);
  await assert.rejects(bench.engine.networks.disconnect('moor_gwbridge', 'sa'), /is not connected to network moor_gwbridge/);
  await bench.engine.networks.disconnect('ov_net1', 'sa');
  assert.deepEqual(networksOf(here, 'sa'), []);
  assert.equal(defaultRoute(world, a), undefined);
  // It stays, under its id, for the next one.
  await bench.engine.networks.prune({});
  await create(here, 'sb', ['ov_net1']);
  assert.equal(bench.engine.networks.get('moor_gwbridge').id, gateway.id);
  // Nobody finds it by name there.
  const records = [...bench.resolver.records.values()].filter(({ network: id }) => id === gateway.id);
  assert.deepEqual(records, []);
});

test('none comes for an internal network, or beside a bridge; one comes when an overlay network is connected', async () => {
  await using here = await lab();
  await create(here, 'sa', ['closed']);
  assert.deepEqual(networksOf(here, 'sa'), ['eth0 closed']);
  await create(here, 'sb', ['bridge', 'ov_net1']);
  assert.deepEqual(networksOf(here, 'sb'), ['eth0 bridge', 'eth1 ov_net1']);
  await here.bench.engine.networks.connect('ov_net1', { sandbox: 'sa', endpoint: {} });
  assert.deepEqual(networksOf(here, 'sa'), ['eth0 closed', 'eth1 ov_net1', 'eth2 moor_gwbridge (automatic)']);
});

test('published ports lead by way of it', async () => {
  await using here = await lab();
  const { bench } = here;
  const ports = [
    { protocol: 'tcp', hostAddress: null, hostPorts: { from: 8080, to: 8080 }, containerPorts: { from: 80, to: 80 } },
  ] as const;
  await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'ov_net1' }], ports });
  const { ports: bound = [] } = bench.engine.sandboxes.get('web');
  assert.equal(bound.length > 0, true);
});

test('a network called moor_gwbridge that is no way out is told', async () => {
  await using here = await lab();
  await here.bench.engine.networks.create({ name: 'moor_gwbridge', driver: 'bridge', internal: true });
  await assert.rejects(
    create(here, 'sa', ['ov_net1']),
    /Cannot use network moor_gwbridge as the way out .*: it is internal; remove it/,
  );
});

test('a new life finds the part as it was, and repairs and sweeps it', async () => {
  const first = await lab();
  const { world, cluster } = first;
  await create(first, 'sa', ['ov_net1']);
  await first[Symbol.asyncDispose]();
  // Somebody took the bridge, and a part of another network is left over.
  world.kernel.foreign.removeLink(PIN, 'br0');
  const stale = `${INSTANCE.execRoot}/netns/1-ffffffffff`;
  await world.kernel.apply([{ kind: 'netns', op: 'add', path: stale }]);
  await using bench = await start({ world, cluster });
  const again = { bench };
  assert.deepEqual(pins(world), [PIN]);
  assert.equal(links(world).includes('br0'), true);
  assert.deepEqual(networksOf(again, 'sa'), ['eth0 ov_net1', 'eth1 moor_gwbridge (automatic)']);
  assert.deepEqual(await bench.engine.reconcile(), []);
  await bench.engine.sandboxes.remove('sa');
  assert.deepEqual(pins(world), []);
});

test('entries for endpoints that nobody tells of are swept; those that somebody deletes come back', async () => {
  await using here = await lab();
  const { bench, world, cluster } = here;
  await create(here, 'sa', ['ov_net1']);
  const theirs = remote(['10.0.0.7'], { hosts: ['192.0.2.2'] });
  cluster.putEndpoints(NET.id, [theirs]);
  const entries = (): string[] => {
    const { neighbours, fdb } = world.kernel.spaces.get(PIN).dump(PIN);
    return [
      ...neighbours.map(({ address }) => address),
      ...fdb.map(({ mac, destination = 'bridge' }) => `${mac} ${destination}`),
    ];
  };
  const wanted = ['10.0.0.7', '02:42:0a:00:00:07 192.0.2.2', '02:42:0a:00:00:07 bridge'];
  const end = Date.now() + 10_000;
  while (entries().length < 3 && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.deepEqual(entries(), wanted);
  const space = world.kernel.spaces.get(PIN);
  space.neighbours.splice(0);
  const { mac } = remote(['10.0.0.8'], { hosts: ['192.0.2.3'] });
  assert.ok(mac !== null && theirs.hosts[0] !== undefined);
  space.fdb.push({ device: 'vxlan0', mac, destination: theirs.hosts[0] });
  const repaired = await bench.engine.reconcile();
  assert.equal(repaired.length, 2);
  assert.deepEqual(entries().toSorted(), wanted.toSorted());
});

test('a reset takes all of it away', async () => {
  const first = await lab();
  const { world, cluster, bench } = first;
  await create(first, 'sa', ['ov_net1', 'closed']);
  cluster.putEndpoints(NET.id, [remote(['10.0.0.7'], { hosts: ['192.0.2.2'] })]);
  await bench.engine.reset();
  assert.deepEqual(pins(world), []);
  assert.deepEqual(links(world, HOST), ['lo', 'eth1']);
  await first[Symbol.asyncDispose]();
});
