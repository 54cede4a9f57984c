/** Endpoints of other hosts: what the engine tells of its own, and what becomes of those of others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIfAddress, parseIp } from '../../src/base/ip.ts';
import { newId } from '../../src/base/ids.ts';
import { type Change, HOST } from '../../src/contracts/change.ts';
import type { Kernel } from '../../src/contracts/kernel.ts';
import { network as overlay, pool, remote } from '../../src/drivers/overlay/fixture.testing.ts';
import type { RemoteEndpoint } from '../../src/model/node.ts';
import { FakeCluster, networkFrom } from '../support/fake-cluster.ts';
import { type Bench, eventually, INSTANCE, newWorld, start, type World } from './setup.ts';

const PODS = networkFrom({ backend: 'host-gw' });
const POOLS = [pool('10.0.0.0/24', null)];
const SEGMENT = overlay({ ipamDriver: 'default', pools: POOLS });
const PIN = `${INSTANCE.execRoot}/netns/1-${SEGMENT.id.slice(0, 10)}`;

async function world(): Promise<World> {
  const made = newWorld();
  await made.kernel.apply([
    { kind: 'link', op: 'add', netns: HOST, link: { name: 'eth1', kind: { type: 'dummy' }, up: true } },
    { kind: 'address', op: 'add', netns: HOST, device: 'eth1', address: parseIfAddress('192.0.2.1/24') },
  ]);
  return made;
}

const told = (cluster: FakeCluster, network = PODS): string[] =>
  [...(cluster.told.get(network.id)?.values() ?? [])]
    .map(({ sandbox, addresses, names }) => `${sandbox} ${addresses.join(' ')} ${names.slice(0, 2).join(' ')}`)
    .toSorted();
const names = ({ resolver }: Bench): string[] =>
  [...resolver.records.values()].map((record) => `${record.names[0]} ${record.addresses.join(' ')}`).toSorted();
const far = (name: string, address: string): RemoteEndpoint => ({
  ...remote([address], { hosts: ['192.0.2.2'] }),
  sandbox: name,
  names: [name],
});
const entries = ({ kernel }: World): string[] =>
  kernel.spaces
    .get(PIN)
    .dump(PIN)
    .neighbours.map(({ address, mac }) => `${address} ${mac}`)
    .toSorted();

test('what is here is told as it comes, changes and goes; and all of it at a start, before anything is compared', async () => {
  const cluster = new FakeCluster();
  cluster.put(PODS, []);
  const host = await world();
  {
    await using bench = await start({ world: host, cluster });
    const { sandboxes, networks } = bench.engine;
    await sandboxes.create({ name: 'web', networks: [{ network: 'pods', endpoint: { aliases: ['www'] } }] });
    assert.deepEqual(told(cluster), ['web 10.244.1.2 web www']);
    await sandboxes.create({ name: 'tried', networks: [{ network: 'pods' }] }, { dryRun: true });
    assert.equal(told(cluster).length, 1);
    const { value: db } = await sandboxes.create({ name: 'db' });
    assert.equal(told(cluster).length, 1, 'what is on this host alone is nobody’s business');
    await networks.connect('pods', { sandbox: 'db', endpoint: {} });
    await sandboxes.rename('db', 'store');
    assert.deepEqual(told(cluster), [`store 10.244.1.3 store ${db.id.slice(0, 12)}`, 'web 10.244.1.2 web www']);
    await networks.disconnect('pods', 'store');
    assert.deepEqual(told(cluster), ['web 10.244.1.2 web www']);
    bench.kernel.failWhen = (change) => change.kind === 'link';
    await assert.rejects(sandboxes.create({ name: 'fails', networks: [{ network: 'pods' }] }));
    bench.kernel.failWhen = undefined;
    assert.deepEqual(told(cluster), ['web 10.244.1.2 web www']);
  }
  cluster.told.clear();
  const complete: string[][] = [];
  Object.assign(cluster, { complete: async () => void complete.push(told(cluster)) });
  await using bench = await start({ world: host, cluster });
  assert.deepEqual(complete, [['web 10.244.1.2 web www']]);
  await bench.engine.sandboxes.remove('web');
  assert.deepEqual(told(cluster), []);
});

test('others’ names are known, by differences, and after a start before the kernel is compared', async () => {
  const cluster = new FakeCluster();
  cluster.put(PODS, []);
  const host = await world();
  {
    await using bench = await start({ world: host, cluster });
    const [a, b] = [far('a', '10.244.2.2'), far('b', '10.244.2.3')];
    cluster.putEndpoints(PODS.id, [a, b]);
    await eventually(() => assert.deepEqual(names(bench), ['a 10.244.2.2', 'b 10.244.2.3']));
    bench.resolver.calls.length = 0;
    const renamed = { ...b, names: ['bb'] };
    cluster.putEndpoints(PODS.id, [a, renamed]);
    await eventually(() => assert.deepEqual(names(bench), ['a 10.244.2.2', 'bb 10.244.2.3']));
    assert.deepEqual(bench.resolver.calls, [`put ${b.id}`]);
    cluster.putEndpoints(PODS.id, [renamed]);
    await eventually(() => assert.deepEqual(names(bench), ['bb 10.244.2.3']));
    assert.deepEqual(
      (await bench.engine.networks.remotes(PODS.id)).map(({ sandbox }) => sandbox),
      ['b'],
    );
  }
  await using bench = await start({ world: host, cluster });
  assert.deepEqual(names(bench), ['bb 10.244.2.3']);
  cluster.drop(PODS.id);
  await eventually(() => assert.deepEqual(names(bench), []));
});

test('entries for others come in one batch with the part of the network, follow by differences, and are put right', async () => {
  const cluster = new FakeCluster();
  cluster.put(SEGMENT, [], POOLS);
  const applied: Change[][] = [];
  const spy = (kernel: Kernel): Kernel => ({
    ...kernel,
    apply: async (changes, options) => {
      if (changes.length > 0) applied.push([...changes]);
      return await kernel.apply(changes, options);
    },
  });
  const host = await world();
  await using bench = await start({ world: host, cluster, between: { kernel: spy } });
  const many = Array.from({ length: 200 }, (_, i) => far(`r${i}`, `10.0.0.${i + 20}`));
  cluster.putEndpoints(SEGMENT.id, many.slice(0, 100));
  await eventually(() => assert.equal(names(bench).length, 100));
  assert.equal(bench.kernel.spaces.byPath.has(PIN), false, 'no part here, no entries');
  await bench.engine.sandboxes.create({ name: 'own', networks: [{ network: 'ov_net1' }] });
  assert.equal(entries(host).length, 100);
  applied.length = 0;
  cluster.putEndpoints(SEGMENT.id, many);
  await eventually(() => assert.equal(entries(host).length, 200));
  assert.deepEqual(
    applied.map((changes) => changes.length),
    [300],
  );
  // One goes, one has moved to another MAC address: who is here is told.
  applied.length = 0;
  const [gone, moved, ...rest] = many;
  assert.ok(gone && moved);
  const [other] = [remote(moved.addresses, { mac: '02:00:00:00:00:99', hosts: ['192.0.2.3'] })];
  cluster.putEndpoints(SEGMENT.id, [{ ...other, id: newId() }, ...rest]);
  await eventually(() => assert.equal(entries(host).length, 199));
  assert.ok(entries(host).includes(`${moved.addresses[0]} 02:00:00:00:00:99`));
  assert.deepEqual(
    applied.flat().flatMap((change) => (change.kind === 'announce' ? `${change.address} ${change.mac}` : [])),
    [`${moved.addresses[0]} 02:00:00:00:00:99`],
  );
  assert.equal(applied.flat().length, 3 + 3 + 3 + 1);
  // By hand.
  const [lost] = bench.kernel.spaces.get(PIN).dump(PIN).neighbours;
  assert.ok(lost);
  await bench.kernel.apply([{ kind: 'neighbour', op: 'remove', netns: PIN, neighbour: lost }]);
  const alien = { device: 'vxlan0', address: parseIp('10.0.0.9'), mac: moved.mac!, state: 'permanent' as const };
  await bench.kernel.apply([{ kind: 'neighbour', op: 'add', netns: PIN, neighbour: alien }]);
  await bench.engine.reconcile();
  assert.equal(entries(host).length, 199);
  // While the store is away, what nobody tells of may be there.
  cluster.reachable = false;
  await bench.kernel.apply([{ kind: 'neighbour', op: 'add', netns: PIN, neighbour: alien }]);
  await bench.engine.reconcile();
  assert.equal(entries(host).length, 200);
  cluster.reachable = true;
  await bench.engine.reconcile();
  assert.equal(entries(host).length, 199);
});
