/** Networks that span hosts, as the engine follows the cluster. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { forbidden, MoorError } from '../../src/base/errors.ts';
import { parseIfAddress } from '../../src/base/ip.ts';
import { type Change, HOST } from '../../src/contracts/change.ts';
import type { Kernel } from '../../src/contracts/kernel.ts';
import { FakeCluster, FakeTunnels, networkFrom, peer } from '../support/fake-cluster.ts';
import { type Bench, newWorld, rows, start, type World } from './setup.ts';

const SPEC = { name: 'pods', driver: 'routed', pools: [{ subnet: '10.244.0.0/16' }], options: { backend: 'host-gw' } };

/** With the device by which hosts meet. */
async function world(): Promise<World> {
  const made = newWorld();
  await made.kernel.apply([
    { kind: 'link', op: 'add', netns: HOST, link: { name: 'eth1', kind: { type: 'dummy' }, up: true } },
    { kind: 'address', op: 'add', netns: HOST, device: 'eth1', address: parseIfAddress('192.0.2.1/24') },
  ]);
  return made;
}

const routes = ({ kernel }: Pick<World, 'kernel'>): string[] =>
  kernel.spaces
    .get(HOST)
    .dump(HOST)
    .routes.filter(({ via }) => via !== undefined)
    .map(({ destination, via }) => `${destination} ${via}`)
    .toSorted();

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < end, 'it did not happen');
    await sleep(2);
  }
}

const refusal = (kind: string, text: RegExp) => (error: unknown) =>
  error instanceof MoorError && error.kind === kind && text.test(error.message);

const named = ({ engine }: Bench, name = 'pods'): boolean => engine.networks.list().some((network) => network.name === name);

test('without a cluster it is refused, and it is said what to do', async () => {
  await using bench = await start();
  await assert.rejects(
    bench.engine.networks.create(SPEC),
    refusal('unavailable', /start moord with --cluster-store etcd:.*--peers/),
  );
});

test('one that is made here: the cluster is told, the subnet leased, the peers followed by differences', async () => {
  const [cluster, tunnels] = [new FakeCluster(), new FakeTunnels()];
  const applied: Change[] = [];
  const spy = (kernel: Kernel): Kernel => ({
    ...kernel,
    apply: async (changes, options) => {
      applied.push(...changes);
      return await kernel.apply(changes, options);
    },
  });
  await using bench = await start({ world: await world(), cluster, tunnels, between: { kernel: spy } });
  const { engine } = bench;
  const tried = await engine.networks.create(SPEC, { dryRun: true });
  assert.deepEqual([cluster.asked, tried.value.pools, tried.warnings.length], [[], [], 1]);
  const { value } = await engine.networks.create(SPEC);
  assert.deepEqual(cluster.asked, ['create pods 10.244.0.0/16']);
  assert.deepEqual([value.scope, value.pools[0]?.subnet], ['global', '10.244.1.0/24']);
  await assert.rejects(engine.networks.create(SPEC), refusal('conflict', /network with name pods already exists/));

  cluster.put(value, [peer(2), peer(3)]);
  await until(() => routes(bench).length === 2);
  assert.deepEqual(routes(bench), ['10.244.2.0/24 192.0.2.2', '10.244.3.0/24 192.0.2.3']);
  assert.deepEqual(engine.networks.peers(value.id), [peer(2), peer(3)]);
  applied.length = 0;
  cluster.put(value, [peer(3), peer(4)]);
  await until(() => routes(bench).length === 2 && routes(bench).includes('10.244.4.0/24 192.0.2.4'));
  assert.equal(applied.length, 2);

  // An administrator's hand.
  const [route] = bench.kernel.spaces
    .get(HOST)
    .dump(HOST)
    .routes.filter(({ via }) => via === '192.0.2.3');
  assert.ok(route);
  await bench.kernel.apply([{ kind: 'route', op: 'remove', netns: HOST, route }]);
  await engine.reconcile();
  assert.deepEqual(routes(bench), ['10.244.3.0/24 192.0.2.3', '10.244.4.0/24 192.0.2.4']);

  // Whether it is in use is told.
  cluster.asked.length = 0;
  const { value: web } = await engine.sandboxes.create({ name: 'web', networks: [{ network: 'pods' }] });
  assert.equal(web.endpoints[0]?.ipv4, '10.244.1.2/24');
  assert.deepEqual(cluster.asked, ['refresh']);
  await assert.rejects(engine.networks.remove('pods'), refusal('forbidden', /active endpoints/));
  await engine.sandboxes.remove('web');
  assert.deepEqual(cluster.asked, ['refresh', 'refresh']);

  cluster.refusal = forbidden('error while removing network: network pods has active endpoints on n3');
  await assert.rejects(engine.networks.remove('pods'), refusal('forbidden', /on n3/));
  assert.equal(routes(bench).length, 2);
  assert.deepEqual((await engine.networks.prune({})).value.networks, []);
  cluster.refusal = null;
  await engine.networks.remove('pods');
  assert.deepEqual([named(bench), routes(bench)], [false, []]);
  assert.deepEqual(
    Object.keys(await rows(bench.store)).filter((key) => /^(peer|network)\//.test(key) && key.includes(value.id)),
    [],
  );
  await engine.networks.create({ name: 'again', pools: [{ subnet: '10.244.1.0/24' }] });
});

test('what each host decides for itself is refused', async () => {
  await using bench = await start({ world: await world(), cluster: new FakeCluster() });
  const { networks } = bench.engine;
  await assert.rejects(networks.create({ ...SPEC, pools: [] }), refusal('invalid', /needs an IPv4 --subnet/));
  const gateway = { ...SPEC, pools: [{ subnet: '10.244.0.0/16', gateway: '10.244.0.9' }] };
  await assert.rejects(networks.create(gateway), refusal('invalid', /no --gateway/));
  await assert.rejects(networks.create({ ...SPEC, options: { backend: 'x' } }), refusal('invalid', /backend/));
});

test('one that cannot be made here is taken back from the cluster', async () => {
  const cluster = new FakeCluster();
  await using bench = await start({ world: await world(), cluster });
  bench.kernel.failWhen = (change) => change.kind === 'address';
  await assert.rejects(bench.engine.networks.create(SPEC), /Operation not permitted/);
  bench.kernel.failWhen = undefined;
  assert.deepEqual([cluster.asked, cluster.known.size, named(bench)], [['create pods 10.244.0.0/16', 'remove'], 0, false]);
  await bench.engine.networks.create(SPEC);
});

test('one that is made elsewhere comes, and goes, here; with endpoints on it, it goes after the last', async () => {
  const [cluster, tunnels] = [new FakeCluster(), new FakeTunnels()];
  await using bench = await start({ world: await world(), cluster, tunnels });
  const network = networkFrom({ backend: 'udp' });
  // Not while there is no subnet.
  cluster.put(network, [peer(2)], []);
  await sleep(20);
  assert.equal(named(bench), false);
  cluster.put(network, [peer(2)]);
  await until(() => tunnels.wanted.has(network.id));
  const spec = tunnels.wanted.get(network.id);
  assert.deepEqual([spec?.device, spec?.local.port, spec?.peers.map(({ name }) => name)], ['moor-udp0', 8285, ['n2']]);
  await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'pods' }] });
  cluster.drop(network.id);
  await until(() => bench.logger.messages('warn').some((line) => /pods was removed on another host: it stays/.test(line)));
  assert.ok(named(bench));
  await bench.engine.sandboxes.remove('web');
  await until(() => !named(bench));
  assert.deepEqual(
    [
      tunnels.wanted.size,
      bench.kernel.spaces
        .get(HOST)
        .dump(HOST)
        .links.some(({ name }) => name === 'moor-udp0'),
    ],
    [0, false],
  );
});

test('after a restart: nothing that is right is touched, and who left meanwhile is gone', async () => {
  const made = await world();
  const cluster = new FakeCluster();
  const network = networkFrom({ backend: 'vxlan' });
  const vtep = (number: number) =>
    peer(number, { vtep4: `02:00:00:00:00:0${number}` as NonNullable<ReturnType<typeof peer>['vtep4']> });
  cluster.put(network, [vtep(2), vtep(3)]);
  {
    await using bench = await start({ world: made, cluster });
    await until(() => named(bench) && bench.engine.networks.peers(network.id).length === 2);
  }
  const links = (): unknown => made.kernel.spaces.get(HOST).dump(HOST).links;
  const before = links();
  assert.equal(made.kernel.spaces.get(HOST).dump(HOST).fdb.length, 2);
  cluster.put(network, [vtep(3)]);
  {
    await using bench = await start({ world: made, cluster });
    assert.deepEqual(bench.engine.networks.peers(network.id), [vtep(3)]);
    const { routes: left, fdb, neighbours } = made.kernel.spaces.get(HOST).dump(HOST);
    assert.deepEqual([left.filter(({ via }) => via !== undefined).length, fdb.length, neighbours.length], [1, 1, 1]);
    assert.deepEqual(links(), before);
  }
  // A store that is away, and nothing kept: what is there stays.
  cluster.known.clear();
  cluster.reachable = false;
  await using bench = await start({ world: made, cluster });
  assert.ok(named(bench));
  assert.deepEqual(links(), before);
});

test('a name that a network of this host has keeps the cluster’s out, and is told once', async () => {
  const cluster = new FakeCluster();
  await using bench = await start({ world: await world(), cluster });
  await bench.engine.networks.create({ name: 'pods', pools: [{ subnet: '10.1.0.0/24' }] });
  cluster.put(networkFrom({ backend: 'host-gw' }), []);
  await until(() => bench.logger.messages('error').length > 0);
  assert.match(
    bench.logger.messages('error').join(),
    /cannot follow a network of the cluster: network with name pods already exists/,
  );
  await bench.engine.networks.remove('pods');
  await until(() => bench.engine.networks.list().some(({ driver }) => driver === 'routed'));
});

test('a reset leaves the cluster, and nothing behind', async () => {
  const made = await world();
  const cluster = new FakeCluster();
  cluster.put(networkFrom({ backend: 'host-gw' }), [peer(2)]);
  await using bench = await start({ world: made, cluster });
  assert.deepEqual(routes(bench), ['10.244.2.0/24 192.0.2.2']);
  await bench.engine.reset();
  assert.deepEqual(routes(bench), []);
  assert.ok(cluster.asked.includes('leave'));
  assert.deepEqual(await rows(bench.store), {});
});

test('the range of a network keeps other networks out as long as it is there, and is nobody’s afterwards', async () => {
  const cluster = new FakeCluster();
  await using bench = await start({ world: await world(), cluster, tunnels: new FakeTunnels() });
  const { networks } = bench.engine;
  const range = (warnings: readonly string[]): string => /overlaps route (\S+)/.exec(warnings.join())?.[1] ?? 'nothing';
  await networks.create(SPEC);
  // Of another host's part.
  const beside = await networks.create({ name: 'beside', driver: 'bridge', pools: [{ subnet: '10.244.9.0/24' }] });
  assert.equal(range(beside.warnings), '10.244.0.0/16');
  for (const name of ['beside', 'pods']) await networks.remove(name);
  for (const spec of [SPEC, { name: 'beside', driver: 'bridge', pools: [{ subnet: '10.244.9.0/24' }] }]) {
    const { warnings } = await networks.create(spec);
    assert.equal(range(warnings), 'nothing');
    await networks.remove(spec.name);
  }
});
