/** What a cluster tells of endpoints, whatever the store: who sees them, and for how long. */
import assert from 'node:assert/strict';
import { type Id, newId } from '../../src/base/ids.ts';
import type { IpAddress, Prefix } from '../../src/base/ip.ts';
import { endpointKey } from '../../src/cluster/keys.ts';
import type { LocalEndpoint } from '../../src/model/node.ts';
import { checker, type ClusterSuite, isKind } from './cluster-check.ts';
import { type ClusterWorld, converge, routed, TestNode, until } from './cluster-world.ts';

export const endpoint = (sandbox: string, address: string, more: Partial<LocalEndpoint> = {}): LocalEndpoint => ({
  id: newId(),
  sandbox,
  sandboxId: newId(),
  mac: null,
  addresses: [address as IpAddress],
  names: [sandbox],
  ...more,
});

/** `web 10.244.1.2 n1@192.0.2.1`, in order */
const seen = (node: TestNode): readonly string[] =>
  [...(node.network()?.endpoints.values() ?? [])]
    .map(({ names, addresses, node: name, hosts }) => `${names.join(',')} ${addresses.join(',')} ${name}@${hosts.join(',')}`)
    .sort();

const sees = (world: ClusterWorld, node: TestNode, lines: readonly string[]): Promise<void> =>
  until(
    world,
    () => JSON.stringify(seen(node)) === JSON.stringify(lines),
    () => ({ node: node.name, has: seen(node), wants: lines, warnings: node.warnings.slice(-3) }),
  );

const inTheStore = async (world: ClusterWorld, network: Id): Promise<readonly string[]> =>
  (await world.store.list(`endpoints/${network}/`)).entries.map(({ key }) => key.split('/')[2] ?? '').sort();

export function endpointConformance(suite: ClusterSuite): void {
  const check = checker(suite);

  check('endpoints are seen by those that take part in the network, and by nobody else', async (world, start) => {
    const [a, b, c] = (await start(3)) as [TestNode, TestNode, TestNode];
    const { network } = await a.cluster.create(routed());
    await converge(world, [a, b, c]);
    const web = endpoint('web', '10.244.1.2');
    a.cluster.tell(network.id, web);
    const db = endpoint('db', '10.244.2.2', { names: ['db', 'store'], mac: null });
    b.cluster.tell(network.id, db);
    await sees(world, a, ['db,store 10.244.2.2 n2@192.0.2.2']);
    await sees(world, b, ['web 10.244.1.2 n1@192.0.2.1']);
    assert.deepEqual(seen(c), []);
    assert.ok(a.events.some((event) => event.type === 'endpoints' && event.network === network.id));

    // What has not changed is the same object, and the same map.
    const [before] = [...a.network()!.endpoints.values()];
    const map = a.network()!.endpoints;
    assert.equal(a.network()!.endpoints, map);
    b.cluster.tell(network.id, endpoint('other', '10.244.2.3'));
    await until(world, () => seen(a).length === 2);
    assert.equal(a.network()!.endpoints.get(db.id), before);
    assert.equal(map.size, 1, 'a map that was given away does not change');

    // A change, and the end of it.
    a.cluster.tell(network.id, { ...web, names: ['web', 'www'] });
    await sees(world, b, ['web,www 10.244.1.2 n1@192.0.2.1']);
    a.cluster.untell(network.id, web.id);
    a.cluster.untell(network.id, web.id);
    await sees(world, b, []);
    assert.deepEqual(seen(a), [], 'who has none does not take part');
    assert.equal((await inTheStore(world, network.id)).length, 2);

    // Who comes late sees all.
    c.cluster.tell(network.id, endpoint('late', '10.244.3.2'));
    await until(world, () => seen(c).length === 2);
  });

  check('endpoints of a node that dies go with it; those of one that is started again stay', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const { network } = await a.cluster.create(routed());
    await converge(world, [a, b]);
    const [web, db, old] = [endpoint('web', '10.244.1.2'), endpoint('db', '10.244.2.2'), endpoint('old', '10.244.2.3')];
    a.cluster.tell(network.id, web);
    b.cluster.tell(network.id, db);
    b.cluster.tell(network.id, old);
    await sees(world, a, ['db 10.244.2.2 n2@192.0.2.2', 'old 10.244.2.3 n2@192.0.2.2']);
    a.events = [];
    await b.stop();
    await b.start();
    b.cluster.tell(network.id, db);
    await sees(world, b, ['web 10.244.1.2 n1@192.0.2.1']);
    assert.deepEqual(seen(a), ['db 10.244.2.2 n2@192.0.2.2', 'old 10.244.2.3 n2@192.0.2.2']);
    // It has told all that it has: what else is there is of its last life.
    void b.cluster.complete();
    await sees(world, a, ['db 10.244.2.2 n2@192.0.2.2']);
    await world.pass(2 * world.ttlMs);
    assert.deepEqual(seen(a), ['db 10.244.2.2 n2@192.0.2.2']);
    assert.deepEqual(await inTheStore(world, network.id), [web.id, db.id].sort());
    await b.line.kill();
    await sees(world, a, []);
  });

  check('while the store is away nothing is forgotten; afterwards all is told again', async (world, start) => {
    const nodes = (await start(3)) as [TestNode, TestNode, TestNode];
    const [a, b, c] = nodes;
    const { network } = await a.cluster.create(routed());
    await converge(world, nodes);
    for (const [i, node] of nodes.entries()) node.cluster.tell(network.id, endpoint(`s${i + 1}`, `10.244.${i + 1}.2`));
    const others = (self: number): string[] =>
      [1, 2, 3].flatMap((i) => (i === self ? [] : `s${i} 10.244.${i}.2 n${i}@192.0.2.${i}`));
    for (const [i, node] of nodes.entries()) await sees(world, node, others(i + 1));
    for (const node of nodes) {
      node.events = [];
      node.line.cut();
    }
    await world.pass(2.5 * world.ttlMs);
    // Told while nobody listens.
    a.cluster.tell(network.id, endpoint('new', '10.244.1.3'));
    for (const node of nodes) {
      node.line.mend();
      await world.pass(world.ttlMs / 6);
    }
    await sees(world, b, ['new 10.244.1.3 n1@192.0.2.1', ...others(2)]);
    await world.pass(2 * world.ttlMs);
    await sees(world, a, others(1));
    assert.deepEqual(
      a.events.filter(({ type }) => type === 'endpoints'),
      [],
    );
    assert.equal((await inTheStore(world, network.id)).length, 4);
    // Who is still gone afterwards is gone.
    for (const node of nodes) node.line.cut();
    await world.pass(2 * world.ttlMs);
    await c.line.kill();
    for (const node of [a, b]) node.line.mend();
    await sees(world, a, ['s2 10.244.2.2 n2@192.0.2.2']);
  });

  check('a start while the store is away goes on with the endpoints that were known', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const { network } = await a.cluster.create(routed());
    await converge(world, [a, b]);
    const db = endpoint('db', '10.244.2.2');
    a.cluster.tell(network.id, endpoint('web', '10.244.1.2'));
    b.cluster.tell(network.id, db);
    await sees(world, b, ['web 10.244.1.2 n1@192.0.2.1']);
    await b.stop();
    const line = await world.line();
    line.cut();
    await b.start({ line });
    assert.deepEqual(seen(b), []);
    b.cluster.tell(network.id, db);
    void b.cluster.complete();
    assert.deepEqual(seen(b), ['web 10.244.1.2 n1@192.0.2.1']);
    b.events = [];
    line.mend();
    await until(world, () => b.cluster.status().store.reachable);
    await world.pass(2 * world.ttlMs);
    assert.deepEqual(seen(b), ['web 10.244.1.2 n1@192.0.2.1']);
    assert.deepEqual(
      b.events.filter(({ type }) => type === 'endpoints'),
      [],
    );
  });

  check('entries that nobody of ours would write are passed over; ours are written again', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const { network } = await a.cluster.create(routed());
    await converge(world, [a, b]);
    const [web, db] = [endpoint('web', '10.244.1.2'), endpoint('db', '10.244.2.2')];
    a.cluster.tell(network.id, web);
    b.cluster.tell(network.id, db);
    await sees(world, b, ['web 10.244.1.2 n1@192.0.2.1']);
    const key = endpointKey(network.id, web.id);
    const good = (await world.store.get(key))!.value;
    const other = (change: object): string => JSON.stringify({ ...(JSON.parse(good) as object), ...change });
    const wrong = {
      no_key: 'x',
      [newId()]: good.slice(0, good.length / 2),
      [newId()]: '\u0000\u0001\ufffd',
      [newId()]: other({ node: '../n1' }),
      [newId()]: other({ addresses: ['10.9.9.9'] }),
      [newId()]: other({ addresses: ['10.244.7.7', '10.244.7.8'] }),
      [newId()]: other({ addresses: ['10.244.7.7'], mac: '01:00:5e:00:00:01' }),
      [newId()]: other({ addresses: ['10.244.7.7'], names: ['a'.repeat(300)] }),
      [newId()]: other({ addresses: ['10.244.7.7'], generation: -1 }),
      // Of a node that there is not, of one that cannot be reached, and of one that says that it is where this one is.
      [newId()]: other({ addresses: ['10.244.7.7'], node: 'n99' }),
      [newId()]: other({ addresses: ['10.244.7.8'], node: 'n98' }),
      [newId()]: other({ addresses: ['10.244.7.9'], node: 'n97' }),
    };
    for (const [name, address] of [
      ['n98', 'fd00::98'],
      ['n97', '192.0.2.2'],
    ] as const) {
      const value = JSON.stringify({
        ...(JSON.parse((await world.store.get('nodes/n1'))!.value) as object),
        addresses: [address],
      });
      await world.store.commit([{ type: 'put', key: `nodes/${name}`, value }]);
    }
    for (const [id, value] of Object.entries(wrong))
      await world.store.commit([{ type: 'put', key: endpointKey(network.id, id as Id), value }]);
    for (const value of ['spoiled', good.slice(0, 20), other({ generation: 1 })]) {
      await world.store.commit([{ type: 'put', key, value }]);
      await until(world, async () => (await world.store.get(key))?.value === good);
      await world.store.commit([{ type: 'delete', key }]);
      await until(world, async () => (await world.store.get(key))?.value === good);
    }
    await sees(world, b, ['web 10.244.1.2 n1@192.0.2.1']);
    assert.ok(b.warnings.length >= Object.keys(wrong).length - 1, JSON.stringify(b.warnings));
  });

  check('an earlier life never replaces what a later one says', async (world, start) => {
    const [a, old] = (await start(2)) as [TestNode, TestNode];
    const { network } = await a.cluster.create(routed());
    await converge(world, [a, old]);
    const db = endpoint('db', '10.244.2.2');
    a.cluster.tell(network.id, endpoint('web', '10.244.1.2'));
    old.cluster.tell(network.id, db);
    await sees(world, a, ['db 10.244.2.2 n2@192.0.2.2']);
    old.line.cut();
    await world.pass(2 * world.ttlMs);
    const { kept } = old;
    const fresh = new TestNode(world, 2);
    fresh.kept = kept;
    await fresh.start();
    fresh.cluster.tell(network.id, { ...db, names: ['db', 'later'] });
    void fresh.cluster.complete();
    await sees(world, a, ['db,later 10.244.2.2 n2@192.0.2.2']);
    old.cluster.tell(network.id, { ...db, names: ['db', 'stale'] });
    old.cluster.tell(network.id, endpoint('ghost', '10.244.2.9'));
    old.line.mend();
    await until(world, () => /has registered/.test(old.cluster.status().store.error));
    await world.pass(2 * world.ttlMs);
    assert.deepEqual(seen(a), ['db,later 10.244.2.2 n2@192.0.2.2']);
    await assert.rejects(
      old.cluster.addresses.claim(network.id, { subnet: '10.244.0.0/16' as Prefix, owner: 'sandbox x' }),
      isKind('forbidden', /cannot stay/),
    );
    await fresh.stop();
  });
}
