/** What a cluster over a store does, whatever the store. Runs on the store in memory in virtual time, and on a real etcd. */
import assert from 'node:assert/strict';
import { MoorError } from '../../src/base/errors.ts';
import { subnetKey } from '../../src/cluster/keys.ts';
import type { Prefix } from '../../src/base/ip.ts';
import { checker, type ClusterSuite, isKind } from './cluster-check.ts';
import { converge, routed, TestNode, until } from './cluster-world.ts';

export function clusterConformance(suite: ClusterSuite): void {
  const check = checker(suite);

  check('a network that one node makes appears on all, with a subnet for each', async (world, start) => {
    const [a, b, c] = (await start(3)) as [TestNode, TestNode, TestNode];
    a.part = { inUse: false, port: 8285 };
    const made = await a.cluster.create(routed());
    assert.match(made.network.pools[0]?.subnet ?? '', /^10\.244\.\d+\.0\/24$/);
    assert.notEqual(made.network.pools[0]?.subnet, '10.244.0.0/24');
    assert.equal(made.network.pools[0]?.gateway, made.network.pools[0]?.subnet.replace('.0/24', '.1'));
    await converge(world, [a, b, c]);
    assert.equal(new Set([a, b, c].map((node) => node.subnet())).size, 3);
    assert.deepEqual(b.network()?.peers[0], {
      port: 8285,
      node: 'n1',
      address: '192.0.2.1',
      own: true,
      subnets: [a.subnet()],
    });
    assert.deepEqual({ ...b.network()?.network, pools: [] }, { ...made.network, pools: [] });
    assert.deepEqual(
      c.cluster.status().nodes.map(({ name }) => name),
      ['n1', 'n2', 'n3'],
    );
    const [d] = (await start(1)) as [TestNode];
    await converge(world, [a, b, c, d]);
  });

  check('both families, each with an entry of its own', async (world, start) => {
    const nodes = await start(2);
    await nodes[0]!.cluster.create(routed('dual', '10.1.0.0/16 fd00:1::/48', { 'subnet-len': '26' }));
    await until(world, () => nodes.every((node) => node.network('dual')?.peers[0]?.subnets.length === 2));
    assert.match(nodes[0]!.peers('dual')[0] ?? '', /^n2 192\.0\.2\.2 10\.1\.\d+\.\d+\/26 fd00:1:0:[0-9a-f]+::\/64$/);
  });

  check('a restart gets the same subnet, and nobody else notices', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    await a.cluster.create(routed());
    await converge(world, [a, b]);
    const before = b.subnet();
    a.events = [];
    for (const forget of [false, true]) {
      await b.stop();
      if (forget) b.kept = null;
      await b.start();
      assert.equal(b.subnet(), before);
    }
    await world.pass(2 * world.ttlMs);
    await converge(world, [a, b]);
    assert.deepEqual(
      a.events.filter(({ type }) => type === 'peers'),
      [],
    );
  });

  check('a node that dies is gone after its time to live, and not before', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    await a.cluster.create(routed());
    await converge(world, [a, b]);
    const died = world.clock.now();
    await b.line.kill();
    await world.pass(world.ttlMs / 3);
    assert.equal(a.peers().length, 1);
    await until(world, () => a.peers().length === 0);
    const ms = world.clock.now() - died;
    assert.ok(ms > world.ttlMs / 2, `after ${ms} ms`);
    assert.deepEqual(
      a.cluster.status().nodes.map(({ name }) => name),
      ['n1'],
    );
    assert.ok(a.events.some(({ type }) => type === 'peers'));
    // Its subnet stays its own.
    assert.notEqual(await world.store.get(subnetKey(a.network()!.network.id, b.subnet() as Prefix)), null);
  });

  check('a node that returns with another address takes the place of the old', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    await a.cluster.create(routed());
    await converge(world, [a, b]);
    await b.line.kill();
    await b.cluster[Symbol.asyncDispose]();
    await b.start({ address: '198.51.100.7' });
    await until(world, () => a.peers()[0] === `n2 198.51.100.7 ${b.subnet()}`);
    assert.equal(a.peers().length, 1);
  });

  check('a node that leaves is gone at once, and its subnet is free', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const { network } = await a.cluster.create(routed());
    await converge(world, [a, b]);
    const subnet = b.subnet() as Prefix;
    await b.cluster.leave();
    await until(world, () => a.peers().length === 0 && a.cluster.status().nodes.length === 1);
    assert.equal(await world.store.get(subnetKey(network.id, subnet)), null);
  });

  check('a node that is cut off keeps what it knows; the others drop it; afterwards all is as before', async (world, start) => {
    const [a, b, c] = (await start(3)) as [TestNode, TestNode, TestNode];
    await a.cluster.create(routed());
    await converge(world, [a, b, c]);
    const known = b.peers();
    const subnet = b.subnet();
    b.line.cut();
    await until(world, () => a.peers().length === 1 && c.peers().length === 1);
    await until(world, () => !b.cluster.status().store.reachable);
    assert.notEqual(b.cluster.status().store.error, '');
    assert.deepEqual(b.peers(), known);
    assert.equal(b.subnet(), subnet);
    await assert.rejects(b.cluster.create(routed('other', '10.9.0.0/16')), (error) => error instanceof MoorError);
    b.events = [];
    b.line.mend();
    await converge(world, [a, b, c]);
    assert.equal(b.subnet(), subnet);
    assert.deepEqual(
      b.events.filter(({ type }) => type !== 'nodes'),
      [{ type: 'store', reachable: true }],
    );
    assert.equal(b.cluster.status().store.reachable, true);
  });

  check('when the store was away from all, nobody drops anybody', async (world, start) => {
    const nodes = await start(4);
    await nodes[0]!.cluster.create(routed());
    await converge(world, nodes);
    for (const node of nodes) node.events = [];
    for (const node of nodes) node.line.cut();
    await world.pass(2.5 * world.ttlMs);
    // They come back one after the other.
    for (const node of nodes) {
      node.line.mend();
      await world.pass(world.ttlMs / 6);
    }
    await converge(world, nodes);
    await world.pass(2 * world.ttlMs);
    await converge(world, nodes);
    for (const node of nodes) {
      assert.deepEqual(
        node.events.filter(({ type }) => type === 'peers' || type === 'removed'),
        [],
      );
    }
  });

  check('a lease that runs out while others have only just come back is no death', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    await a.cluster.create(routed());
    await converge(world, [a, b]);
    a.events = [];
    a.line.cut();
    await world.pass(0.8 * world.ttlMs);
    b.line.cut();
    await world.pass(0.7 * world.ttlMs);
    a.line.mend();
    await until(world, () => a.cluster.status().store.reachable);
    await until(world, async () => (await world.store.get('nodes/n2')) === null);
    await world.pass(world.ttlMs / 10);
    assert.equal(a.peers().length, 1);
    b.line.mend();
    await converge(world, [a, b]);
    await world.pass(2 * world.ttlMs);
    assert.deepEqual(
      a.events.filter(({ type }) => type === 'peers'),
      [],
    );
  });

  check('who is still gone when the others have had time to come back is dropped', async (world, start) => {
    const nodes = await start(3);
    await nodes[0]!.cluster.create(routed());
    await converge(world, nodes);
    for (const node of nodes) node.line.cut();
    await world.pass(2 * world.ttlMs);
    await nodes[2]!.line.kill();
    for (const node of nodes.slice(0, 2)) node.line.mend();
    await until(world, () => nodes[0]!.cluster.status().store.reachable);
    assert.equal(nodes[0]!.peers().length, 2);
    await converge(world, nodes.slice(0, 2));
  });

  check('a start while the store is away goes on with what was known', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    await a.cluster.create(routed());
    await converge(world, [a, b]);
    const before = { subnet: b.subnet(), peers: b.peers() };
    await b.stop();
    assert.notEqual(b.kept, null);
    const line = await world.line();
    line.cut();
    await b.start({ line });
    assert.deepEqual({ subnet: b.subnet(), peers: b.peers() }, before);
    assert.equal(b.cluster.status().store.reachable, false);
    b.events = [];
    line.mend();
    await until(world, () => b.cluster.status().store.reachable);
    await world.pass(2 * world.ttlMs);
    await converge(world, [a, b]);
    assert.deepEqual({ subnet: b.subnet(), peers: b.peers() }, before);
    assert.deepEqual(
      b.events.filter(({ type }) => type === 'peers' || type === 'removed'),
      [],
    );
  });

  check('a start with nothing kept while the store is away is a start with nothing, and joins later', async (world, start) => {
    const [a] = (await start(1)) as [TestNode];
    await a.cluster.create(routed());
    const b = new TestNode(world, 9);
    const line = await world.line();
    line.cut();
    await b.start({ line, kept: 'no JSON' });
    assert.deepEqual(b.cluster.networks(), []);
    await assert.rejects(b.cluster.create(routed('x', '10.9.0.0/16')), isKind('unavailable', /store is not reached/));
    line.mend();
    await converge(world, [a, b]);
    await b.stop();
  });

  check('names are taken once, and ranges do not overlap', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    await a.cluster.create(routed());
    await assert.rejects(
      b.cluster.create(routed('pods', '10.7.0.0/16')),
      isKind('conflict', /network with name pods already exists/),
    );
    await converge(world, [a, b]);
    await assert.rejects(
      b.cluster.create(routed('other', '10.244.128.0/17')),
      isKind('conflict', /Pool overlaps .* pods .* 10\.244/),
    );
    await assert.rejects(b.cluster.create(routed('other', '10.8.0.0/30')), isKind('invalid', /too small/));
    await assert.rejects(b.cluster.create({ ...routed('other'), ranges: [] }), isKind('invalid', /needs a --subnet/));
    const both = await Promise.allSettled([a, b].map((node) => node.cluster.create(routed('race', '10.8.0.0/16'))));
    assert.equal(both.filter(({ status }) => status === 'fulfilled').length, 1);
    await converge(world, [a, b], 'race');
  });

  check('a network that others use is not removed; a removed one is gone everywhere, without a trace', async (world, start) => {
    const [a, b, c] = (await start(3)) as [TestNode, TestNode, TestNode];
    const { network } = await a.cluster.create(routed());
    await converge(world, [a, b, c]);
    b.part = { inUse: true };
    b.cluster.refresh(network.id);
    const entry = async (): Promise<string> => (await world.store.get(subnetKey(network.id, b.subnet() as Prefix)))?.value ?? '';
    await until(world, async () => (await entry()).includes('"inUse":true'));
    await assert.rejects(a.cluster.remove(network.id), isKind('forbidden', /network pods has active endpoints on n2$/));
    b.part = { inUse: false };
    b.cluster.refresh(network.id);
    await until(world, async () => (await entry()).includes('"inUse":false'));
    await a.cluster.remove(network.id);
    assert.deepEqual(a.cluster.networks(), []);
    await until(world, () => b.cluster.networks().length + c.cluster.networks().length === 0);
    assert.ok(b.events.some((event) => event.type === 'removed' && event.network === network.id));
    await until(world, async () => (await world.store.list('')).entries.every(({ key }) => key.startsWith('nodes/')));
    await world.pass(world.ttlMs);
    assert.ok(
      (await world.store.list('')).entries.every(({ key }) => key.startsWith('nodes/')),
      'it comes back',
    );
    await assert.rejects(a.cluster.remove(network.id), isKind('not-found', /not found/));
    await a.cluster.create(routed());
    await converge(world, [a, b, c]);
  });

  check('an old life of a node gives way to the new', async (world, start) => {
    const [a, old] = (await start(2)) as [TestNode, TestNode];
    await a.cluster.create(routed());
    await converge(world, [a, old]);
    old.line.cut();
    await world.pass(2 * world.ttlMs);
    const fresh = new TestNode(world, 2, '192.0.2.99');
    await fresh.start();
    await until(world, () => a.peers()[0] === `n2 192.0.2.99 ${fresh.subnet()}`);
    const values = async (): Promise<unknown> =>
      (await world.store.list('')).entries.filter(({ key }) => !key.includes('nodes/n1'));
    await world.pass(world.ttlMs);
    const before = await values();
    old.line.mend();
    await until(
      world,
      () => /another process|has registered/.test(old.cluster.status().store.error),
      () => old.cluster.status(),
    );
    await assert.rejects(old.cluster.create(routed('x', '10.9.0.0/16')), isKind('forbidden', /cannot stay in the cluster as n2/));
    await world.pass(2 * world.ttlMs);
    assert.deepEqual(await values(), before);
    assert.deepEqual(a.peers(), [`n2 192.0.2.99 ${fresh.subnet()}`]);
    await fresh.stop();
  });

  check('a subnet that is reserved for a node is the one it gets, for ever', async (world, start) => {
    const [a] = (await start(1)) as [TestNode];
    const { network } = await a.cluster.create(routed());
    const key = subnetKey(network.id, '10.244.77.0/24' as Prefix);
    await world.store.commit([{ type: 'put', key, value: '{"node":"n2","reserved":true}' }]);
    const [b] = (await start(1)) as [TestNode];
    await until(world, () => b.subnet() === '10.244.77.0/24');
    await converge(world, [a, b]);
    await b.cluster.leave();
    await until(world, () => a.peers().length === 0);
    assert.match((await world.store.get(key))?.value ?? '', /"node":"n2".*"reserved":true/);
    // One that has a subnet keeps it, and the reservation waits.
    const later = subnetKey(network.id, '10.244.78.0/24' as Prefix);
    const before = a.subnet();
    await world.store.commit([{ type: 'put', key: later, value: '{"node":"n1","reserved":true}' }]);
    await world.pass(world.ttlMs);
    assert.equal(a.subnet(), before);
    assert.notEqual(await world.store.get(later), null);
  });

  check('an entry of ours that somebody removes or spoils is made again', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const { network } = await a.cluster.create(routed());
    await converge(world, [a, b]);
    const subnet = b.subnet() as Prefix;
    const mine = [subnetKey(network.id, subnet), 'nodes/n2'];
    const good = async (): Promise<boolean> =>
      (await Promise.all(mine.map((key) => world.store.get(key)))).every((entry) => entry?.value.startsWith('{') ?? false);
    for (const key of mine) {
      await world.store.commit([{ type: 'put', key, value: 'spoiled' }]);
      await until(world, good);
      await world.store.commit([{ type: 'delete', key }]);
      await until(world, good);
    }
    await converge(world, [a, b]);
    assert.equal(b.subnet(), subnet);
  });

  check('changes that were forgotten meanwhile are found by listing', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    await a.cluster.create(routed());
    await converge(world, [a, b]);
    b.line.cut();
    await world.pass(world.ttlMs / 10);
    const [c] = (await start(1)) as [TestNode];
    await world.compact();
    b.line.mend();
    await converge(world, [a, b, c]);
  });

  check('when all subnets are taken a node waits for one', async (world, start) => {
    const nodes = await start(3);
    // Of four the first is left out.
    await nodes[0]!.cluster.create(routed('small', '10.3.0.0/24', { 'subnet-len': '26' }));
    await converge(world, nodes, 'small');
    const [late] = (await start(1)) as [TestNode];
    await until(world, () => late.network('small')?.peers.length === 3);
    assert.equal(late.subnet('small'), undefined);
    await until(world, () =>
      late.warnings.some(({ reason }) => String(reason).includes('every /26 from 10.3.0.64 to 10.3.0.192 is taken')),
    );
    await nodes[1]!.cluster.leave();
    await until(world, () => late.subnet('small') !== undefined);
    await converge(world, [nodes[0]!, nodes[2]!, late], 'small');
  });

  check('two nodes that always want the same subnet get 1,000 different ones', async (world, start) => {
    const [maker] = (await start(1)) as [TestNode];
    const racers = [new TestNode(world, 101), new TestNode(world, 102)];
    await Promise.all(racers.map((node) => node.start({ random: () => 0 })));
    const networks = Array.from({ length: 500 }, (_, i) => routed(`net${i}`, `10.${i >> 4}.${(i & 15) * 16}.0/20`));
    const { revision } = await world.store.list('subnets/');
    for (const network of networks) await maker.cluster.create(network);
    await until(world, () =>
      racers.every((node) => node.cluster.networks().filter(({ network }) => network.pools.length > 0).length === 500),
    );
    const holders = new Map<string, string>();
    for (const node of [maker, ...racers]) {
      for (const { network } of node.cluster.networks()) {
        const [pool] = network.pools;
        assert.ok(pool);
        assert.equal(holders.get(pool.subnet), undefined, `${pool.subnet} twice`);
        holders.set(pool.subnet, node.name);
      }
    }
    assert.equal(holders.size, 1_500);
    const { entries } = await world.store.list('subnets/');
    assert.deepEqual(
      new Set(
        entries.map(
          ({ key, value }) => `${key.split('/')[2]?.replace('-', '/')} ${(JSON.parse(value) as { node: string }).node}`,
        ),
      ),
      new Set([...holders].map(([subnet, node]) => `${subnet} ${node}`)),
    );
    // Nobody ever wrote over what another had.
    const owners = new Map<string, string>();
    const stop = new AbortController();
    for await (const events of world.store.watch('subnets/', revision, stop.signal)) {
      for (const { key, value } of events) {
        const owner = (JSON.parse(value ?? '{}') as { node?: string }).node ?? '';
        assert.ok((owners.get(key) ?? owner) === owner, `${key}: first ${owners.get(key)}'s, then ${owner}'s`);
        owners.set(key, owner);
      }
      if (owners.size === entries.length) stop.abort();
    }
    for (const node of racers) await node.stop();
  });
}
