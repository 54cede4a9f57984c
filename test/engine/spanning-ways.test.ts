/** Networks that span hosts where the way to the others is narrow, where the cluster is gone, and where this host's subnet is another one now. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type IpAddress, parseIfAddress, parseIp } from '../../src/base/ip.ts';
import { type Change, HOST } from '../../src/contracts/change.ts';
import type { Kernel } from '../../src/contracts/kernel.ts';
import type { Paths, PathTargets } from '../../src/contracts/paths.ts';
import type { PathReport } from '../../src/model/node.ts';
import { FakeCluster, FakeTunnels, networkFrom, peer } from '../support/fake-cluster.ts';
import { newWorld, start, type World } from './setup.ts';

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
    .map(({ destination, via, mtu }) => `${destination} ${via} ${mtu ?? ''}`.trim())
    .toSorted();

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 10_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, 'it did not happen');
    await sleep(2);
  }
}

class FakePaths implements Paths {
  readonly known = new Map<IpAddress, PathReport>();
  spoiled = false;
  wanted: PathTargets = { paths: [], vteps: [] };
  readonly #listeners = new Set<() => void>();

  readonly want = (targets: PathTargets): void => void (this.wanted = targets);
  readonly reports = (): [IpAddress, PathReport][] => [...this.known];
  readonly broken = (): boolean => this.spoiled;
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };
  tell(): void {
    for (const listener of this.#listeners) listener();
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}

test('a way that takes less is told to the kernel, and so is one that is mended; nothing else is touched', async () => {
  const [cluster, paths] = [new FakeCluster(), new FakePaths()];
  const applied: Change[] = [];
  const spy = (kernel: Kernel): Kernel => ({
    ...kernel,
    apply: async (changes, options) => {
      applied.push(...changes);
      return await kernel.apply(changes, options);
    },
  });
  const network = networkFrom({ backend: 'host-gw' });
  cluster.put(network, [peer(2), peer(3)]);
  const narrow: Record<IpAddress, number> = {};
  const underlay: { paths?: Record<IpAddress, number>; brokenChecksums?: boolean } = {};
  await using bench = await start({ world: await world(), cluster, paths, underlay, between: { kernel: spy } });
  await until(() => paths.wanted.paths.length === 2);
  assert.deepEqual(paths.wanted, { paths: [2, 3].map((n) => ({ address: `192.0.2.${n}`, size: 1500 })), vteps: [] });
  await until(() => routes(bench).length === 2);

  applied.length = 0;
  narrow[parseIp('192.0.2.3')] = 1400;
  underlay.paths = narrow;
  paths.known.set(parseIp('192.0.2.3'), { state: 'small', asked: 1500, mtu: 1400 });
  paths.tell();
  await until(() => routes(bench).includes('10.244.3.0/24 192.0.2.3 1400'));
  assert.deepEqual(routes(bench), ['10.244.2.0/24 192.0.2.2', '10.244.3.0/24 192.0.2.3 1400']);
  assert.equal(applied.length, 2);
  assert.deepEqual(
    applied.map((change) => 'op' in change && change.op),
    ['remove', 'add'],
  );
  const { cluster: view } = await bench.engine.status();
  assert.deepEqual(view?.paths, { '192.0.2.3': { state: 'small', asked: 1500, mtu: 1400 } });

  // An administrator's hand.
  await bench.kernel.apply(applied.slice(1).map((change) => ({ ...change, op: 'remove' }) as Change));
  await bench.engine.reconcile();
  assert.ok(routes(bench).includes('10.244.3.0/24 192.0.2.3 1400'));

  delete underlay.paths;
  paths.tell();
  await until(() => routes(bench).includes('10.244.3.0/24 192.0.2.3'));
});

test('checksums that do not arrive are made here, on the device that is there', async () => {
  const [cluster, paths] = [new FakeCluster(), new FakePaths()];
  cluster.put(networkFrom({ backend: 'vxlan' }), [peer(2)]);
  const underlay: { brokenChecksums?: boolean } = {};
  await using bench = await start({ world: await world(), cluster, paths, underlay });
  const unsummed = (): ReadonlySet<string> => bench.kernel.spaces.get(HOST).unsummed;
  await until(() => paths.wanted.vteps.length === 1);
  assert.deepEqual(paths.wanted.vteps, ['10.244.2.0']);
  assert.equal(unsummed().size, 0);
  underlay.brokenChecksums = true;
  paths.tell();
  await until(() => unsummed().has('moor-vx1'));
  assert.equal((await bench.engine.status()).cluster?.checksums, 'made');
});

test('started without a cluster: networks stay as they were, tunnels are opened, and it is said', async () => {
  const made = await world();
  const cluster = new FakeCluster();
  const [gw, tunnelled] = [
    networkFrom({ backend: 'host-gw' }),
    { ...networkFrom({ backend: 'udp' }), name: 'far', id: 'b'.repeat(64) as never },
  ];
  cluster.put(gw, [peer(2)]);
  {
    await using bench = await start({ world: made, cluster });
    await until(() => routes(bench).length === 1);
    await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'pods' }] });
  }
  const before = made.kernel.spaces.get(HOST).dump(HOST);
  const tunnels = new FakeTunnels();
  {
    await using bench = await start({ world: made, underlay: {}, tunnels });
    await bench.engine.reconcile();
    assert.deepEqual(made.kernel.spaces.get(HOST).dump(HOST), before);
    assert.match((await bench.engine.status()).warnings.join(), /networks that span hosts \(pods\) stay as they were/);
    assert.match(bench.logger.messages('warn').join(), /networks that span hosts \(pods\) stay as they were/);
    assert.deepEqual(bench.logger.messages('error'), []);
    // What goes comes back, and who is attached can be moved.
    await bench.engine.sandboxes.create({ name: 'more', networks: [{ network: 'pods' }] });
    await bench.engine.sandboxes.remove('more');
    await assert.rejects(bench.engine.networks.remove('pods'), /this host is in no cluster/);
  }
  assert.equal(tunnels.wanted.size, 0);
  cluster.put(tunnelled, [peer(3)]);
  cluster.drop(tunnelled.id);
  await using bench = await start({ world: made, cluster });
  assert.deepEqual((await bench.engine.status()).warnings, []);
});

test('another subnet than the one that endpoints have addresses of: said, and followed when the last one has gone', async () => {
  const cluster = new FakeCluster();
  const network = networkFrom({ backend: 'host-gw' });
  cluster.put(network, [peer(2)]);
  await using bench = await start({ world: await world(), cluster });
  await until(() => routes(bench).length === 1);
  const { value: web } = await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'pods' }] });
  assert.equal(web.endpoints[0]?.ipv4, '10.244.1.2/24');
  const other = {
    family: 4,
    subnet: '10.244.9.0/24',
    gateway: '10.244.9.1',
    range: null,
    auxiliary: {},
    configured: true,
  } as never;
  cluster.put(network, [peer(2)], [other]);
  const warned = async (): Promise<string> => (await bench.engine.status()).warnings.join();
  await until(async () => /10\.244\.9\.0\/24 here now, and endpoints with addresses of 10\.244\.1\.0\/24/.test(await warned()));
  assert.equal(bench.engine.networks.get('pods').pools[0]?.subnet, '10.244.1.0/24');
  // Peers are followed meanwhile.
  cluster.put(network, [peer(2), peer(3)], [other]);
  await until(() => routes(bench).length === 2);
  await bench.engine.sandboxes.remove('web');
  await until(() => bench.engine.networks.list().find(({ name }) => name === 'pods')?.pools[0]?.subnet === '10.244.9.0/24');
  await until(async () => (await warned()) === '');
  assert.equal(routes(bench).length, 2);
});
