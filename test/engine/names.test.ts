/** What the name service is told, and what sandboxes get for it, through the engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOST } from '../../src/contracts/change.ts';
import type { Id } from '../../src/base/ids.ts';
import { createFakeKernel } from '../../src/kernel/fake/fake.ts';
import { createFakeResolver, type FakeResolver } from '../support/resolver.ts';
import { type Bench, eventually, kernelState, newWorld, rows, start, type StartOptions, type World } from './setup.ts';

const NONE = { servers: [], search: [], options: [] };

async function prepared(
  options: Omit<StartOptions, 'resolver'> = {},
): Promise<{ readonly bench: Bench; readonly resolver: FakeResolver }> {
  const resolver = createFakeResolver();
  const bench = await start({ ...options, resolver });
  await bench.engine.networks.create({ name: 'front', pools: [{ subnet: '192.168.7.0/24' }] });
  await bench.engine.networks.create({ name: 'inner', internal: true, pools: [{ subnet: '192.168.8.0/24' }] });
  return { bench, resolver };
}

const pathOf = ({ engine }: Bench, name: string): string => {
  const { netns } = engine.sandboxes.get(name);
  return netns.type === 'host' ? HOST : netns.path;
};
const tablesIn = (bench: Bench, name: string): string[] => [...bench.kernel.spaces.get(pathOf(bench, name)).tables.keys()];
const fileOf = ({ kernel }: World, id: Id): string => kernel.files.get(`/exec/sandboxes/${id}/resolv.conf`) ?? '';
const resolvConf = (bench: Bench, name: string): string => fileOf(bench, bench.engine.sandboxes.get(name).id);
const namesOf = (resolver: FakeResolver): string[] =>
  [...resolver.records.values()].map(({ names }) => names[0] ?? '').toSorted();
const clientsOf = ({ engine }: Bench, resolver: FakeResolver): string[] =>
  [...resolver.clients.keys()].map((id) => engine.sandboxes.get(id).name).toSorted();

test('a sandbox on a network of its own: table, resolv.conf, names and answers are there before it is acknowledged', async () => {
  const { bench, resolver } = await prepared();
  await using _bench = bench;
  const { value } = await bench.engine.sandboxes.create({
    name: 'web',
    hostname: 'www',
    networks: [{ network: 'front', endpoint: { aliases: ['db'], links: ['other:o'] } }],
  });
  assert.deepEqual(tablesIn(bench, 'web'), ['ip moor_names']);
  assert.match(
    resolvConf(bench, 'web'),
    /^nameserver 127\.0\.0\.11\noptions ndots:0\n\n.*\n# ExtServers: \[host\(192\.0\.2\.53\)\]\n/,
  );
  const network = bench.engine.networks.get('front').id;
  assert.deepEqual(
    [...resolver.records.values()],
    [
      {
        endpoint: value.endpoints[0]?.id,
        network,
        names: ['web', 'db', value.id.slice(0, 12), 'www'],
        addresses: ['192.168.7.2'],
      },
    ],
  );
  assert.deepEqual(resolver.clients.get(value.id), {
    sandbox: value.id,
    netns: pathOf(bench, 'web'),
    networks: [{ id: network, name: 'front' }],
    links: { o: 'other' },
    upstreams: [{ address: '192.0.2.53', port: 53, from: 'host' }],
  });
  assert.equal((await bench.engine.status()).names?.clients, 1);

  await bench.engine.sandboxes.remove('web');
  assert.deepEqual([resolver.clients.size, resolver.records.size], [0, 0]);
});

test('none of it on the default network, on the host, or without a network', async () => {
  const { bench, resolver } = await prepared();
  await using _bench = bench;
  for (const network of ['bridge', 'host', 'none']) {
    await bench.engine.sandboxes.create({ name: `on-${network}`, networks: [{ network }] });
    await bench.engine.sandboxes.remove(`on-${network}`);
  }
  await bench.engine.sandboxes.create({ name: 'plain' });
  assert.match(resolvConf(bench, 'plain'), /^nameserver 192\.0\.2\.53\n\n.*\(legacy\)\n/);
  assert.deepEqual(tablesIn(bench, 'plain'), []);
  assert.deepEqual(resolver.calls, []);
});

test('connect, disconnect and rename are told at once, and a disconnect from the last such network takes it all back', async () => {
  const { bench, resolver } = await prepared();
  await using _bench = bench;
  const { engine } = bench;
  await engine.sandboxes.create({ name: 'web', managed: true });
  const before = kernelState(bench.kernel);
  await engine.networks.connect('inner', { sandbox: 'web', endpoint: {} });
  assert.deepEqual(tablesIn(bench, 'web'), ['ip moor_names']);
  assert.match(resolvConf(bench, 'web'), /^nameserver 127\.0\.0\.11\n/);
  assert.deepEqual(clientsOf(bench, resolver), ['web']);
  const [client] = [...resolver.clients.values()];
  assert.equal(client?.upstreams.length, 1, 'the default network is a way out');
  await engine.networks.connect('front', { sandbox: 'web', endpoint: {} });
  assert.deepEqual(
    [...resolver.clients.values()].map(({ networks }) => networks.map(({ name }) => name)),
    [['front', 'inner']],
  );
  assert.deepEqual(namesOf(resolver), ['web', 'web']);

  engine.sandboxes.reserveName('shop', engine.sandboxes.get('web').id);
  await engine.sandboxes.rename('web', 'shop');
  assert.deepEqual(namesOf(resolver), ['shop', 'shop']);

  await engine.networks.disconnect('front', 'shop');
  assert.deepEqual(namesOf(resolver), ['shop']);
  assert.deepEqual([...resolver.clients.values()][0]?.networks.length, 1);
  await engine.networks.disconnect('inner', 'shop');
  assert.deepEqual([resolver.clients.size, resolver.records.size], [0, 0]);
  assert.deepEqual(tablesIn(bench, 'shop'), []);
  assert.match(resolvConf(bench, 'shop'), /^nameserver 192\.0\.2\.53\n/);
  engine.sandboxes.reserveName('web', engine.sandboxes.get('shop').id);
  await engine.sandboxes.rename('shop', 'web');
  assert.deepEqual(kernelState(bench.kernel), before);
});

test('files of a sandbox change where they are, for a program in it has them mounted', async () => {
  const { bench } = await prepared();
  await using _bench = bench;
  await bench.engine.sandboxes.create({ name: 'plain' });
  const logged = bench.kernel.log.length;
  await bench.engine.networks.connect('front', { sandbox: 'plain', endpoint: {} });
  const files = bench.kernel.log.slice(logged).flatMap((change) => (change.kind === 'file' ? [change] : []));
  assert.deepEqual(
    files.map(({ path, inPlace, unlessEdited }) => [path.slice(path.lastIndexOf('/') + 1), inPlace, unlessEdited]),
    [
      ['hosts', true, undefined],
      ['resolv.conf', true, true],
    ],
  );
});

test('internal networks only: own names, no upstreams', async () => {
  const { bench, resolver } = await prepared();
  await using _bench = bench;
  await bench.engine.sandboxes.create({
    name: 'web',
    networks: [{ network: 'inner' }],
    dns: { ...NONE, servers: ['192.0.2.9'] },
  });
  assert.deepEqual([...resolver.clients.values()][0]?.upstreams, []);
  assert.match(resolvConf(bench, 'web'), /# ExtServers: \[192\.0\.2\.9\]/);
  await bench.engine.networks.connect('front', { sandbox: 'web', endpoint: {} });
  assert.deepEqual([...resolver.clients.values()][0]?.upstreams, [{ address: '192.0.2.9', port: 53, from: 'sandbox' }]);
});

test('what the daemon was told of DNS holds for who does not say', async () => {
  const dns = { servers: ['192.0.2.77'], search: ['corp.example'], options: ['timeout:1'] };
  const { bench, resolver } = await prepared({ config: { dns } });
  await using _bench = bench;
  await bench.engine.sandboxes.create({ name: 'plain' });
  assert.match(resolvConf(bench, 'plain'), /^nameserver 192\.0\.2\.77\nsearch corp\.example\noptions timeout:1\n\n/);
  await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'front' }], dns: { ...NONE, search: ['lan'] } });
  assert.match(resolvConf(bench, 'web'), /^nameserver 127\.0\.0\.11\nsearch lan\noptions timeout:1 ndots:0\n\n/);
  assert.deepEqual([...resolver.clients.values()][0]?.upstreams, [{ address: '192.0.2.77', port: 53, from: 'sandbox' }]);
});

test('behind systemd-resolved: its stub is asked from the host, and who asks by himself gets what it asks', async () => {
  const base = createFakeKernel({ facts: { resolvConf: 'nameserver 127.0.0.53\n', resolvedConf: 'nameserver 192.0.2.60\n' } });
  const { bench, resolver } = await prepared({ world: { ...newWorld(), kernel: base } });
  await using _bench = bench;
  await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'front' }] });
  await bench.engine.sandboxes.create({ name: 'plain' });
  assert.deepEqual([...resolver.clients.values()][0]?.upstreams, [{ address: '127.0.0.53', port: 53, from: 'host' }]);
  assert.match(resolvConf(bench, 'plain'), /^nameserver 192\.0\.2\.60\n/);
});

test('a socket that cannot be opened: nothing is made, and a connect changes nothing', async () => {
  const { bench, resolver } = await prepared();
  await using _bench = bench;
  await bench.engine.sandboxes.create({ name: 'plain' });
  const before = { kernel: kernelState(bench.kernel), rows: await rows(bench.store) };
  resolver.failure = new Error('bind: Address already in use');
  await assert.rejects(
    bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'front' }] }),
    /Address already in use/,
  );
  await assert.rejects(bench.engine.networks.connect('front', { sandbox: 'plain', endpoint: {} }), /Address already in use/);
  assert.deepEqual({ kernel: kernelState(bench.kernel), rows: await rows(bench.store) }, before);
  assert.deepEqual([resolver.clients.size, resolver.records.size], [0, 0]);
  resolver.failure = undefined;
  await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'front' }] });
  assert.deepEqual(namesOf(resolver), ['web']);
});

test('a kernel that refuses: nobody is told of a name that does not come, and names that were there stay', async () => {
  const { bench, resolver } = await prepared();
  await using _bench = bench;
  await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'front' }] });
  const told = resolver.calls.length;
  bench.kernel.failWhen = (change) => change.kind === 'address';
  await assert.rejects(bench.engine.sandboxes.create({ name: 'two', networks: [{ network: 'front' }] }));
  assert.deepEqual(resolver.calls.slice(told), []);
  await assert.rejects(bench.engine.networks.connect('inner', { sandbox: 'web', endpoint: {} }));
  bench.kernel.failWhen = undefined;
  // Who asks in there is answered while the interface is made; who asks for it is not before it is there.
  const [kept] = bench.engine.sandboxes.get('web').endpoints;
  const puts = resolver.calls.slice(told).filter((call) => call.startsWith('put '));
  assert.deepEqual(puts, [`put ${kept?.id}`]);
  assert.deepEqual([namesOf(resolver), clientsOf(bench, resolver)], [['web'], ['web']]);
});

test('a new daemon tells everything before it answers; what cannot be served does not stop it', async () => {
  const world = newWorld();
  const first = await prepared({ world });
  await first.bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'front' }, { network: 'inner' }] });
  await first.bench.engine.sandboxes.create({ name: 'plain' });
  await first.bench[Symbol.asyncDispose]();
  const logged = world.kernel.log.length;
  {
    const resolver = createFakeResolver();
    await using second = await start({ world, resolver });
    assert.deepEqual([namesOf(resolver), clientsOf(second, resolver)], [['web', 'web'], ['web']]);
    const touched = world.kernel.log.slice(logged).filter((change) => change.kind === 'nft-table' && change.netns !== undefined);
    assert.deepEqual(touched, [], 'a table that is right is not touched');
  }
  const broken = createFakeResolver();
  broken.failure = new Error('no thread');
  await using third = await start({ world, resolver: broken });
  assert.deepEqual(namesOf(broken), ['web', 'web']);
  assert.ok(third.logger.messages('error').includes('names are not answered in every sandbox'));
});

test('the table in a sandbox comes back when it was flushed; tables of the sandbox itself are its own business', async () => {
  const { bench } = await prepared();
  await using _bench = bench;
  const { engine, kernel, logger } = bench;
  await engine.sandboxes.create({ name: 'web', networks: [{ network: 'front' }] });
  await engine.sandboxes.create({ name: 'two', networks: [{ network: 'front' }] });
  await new Promise((resolve) => setImmediate(resolve));
  const path = pathOf(bench, 'web');
  kernel.foreign.flushRuleset(path);
  assert.deepEqual(tablesIn(bench, 'web'), []);
  await eventually(() => assert.deepEqual(tablesIn(bench, 'web'), ['ip moor_names']));
  await eventually(() =>
    assert.ok(logger.messages('warn').includes('restored table ip moor_names in sandbox web: it was deleted')),
  );

  const table = kernel.spaces.get(path).tables.get('ip moor_names');
  assert.ok(table);
  table.chains['queries'] = [];
  kernel.emit({ type: 'nft', table: { family: 'ip', name: 'moor_names' }, netns: path });
  await eventually(() => assert.deepEqual(kernel.spaces.get(path).tables.get('ip moor_names')?.chains, { queries: ['udp'] }));

  let looked = 0;
  const space = kernel.spaces.get(path);
  const dump = space.dump.bind(space);
  space.dump = (...args) => (looked++, dump(...args));
  kernel.emit({ type: 'nft', table: { family: 'ip', name: 'nat' }, netns: path });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(looked, 0);
  assert.deepEqual(await engine.reconcile(), [], 'nothing is left to repair');
});

test("the host's flushed ruleset comes back without a look into sandboxes", async () => {
  const resolver = createFakeResolver();
  const world = newWorld();
  const asked: string[] = [];
  const kernel = (real: typeof world.kernel): typeof world.kernel => ({
    ...real,
    listTable: (table, netns = HOST) => {
      asked.push(netns);
      return real.listTable(table, netns);
    },
  });
  await using bench = await start({ world, resolver, between: { kernel: () => kernel(world.kernel) } });
  await bench.engine.networks.create({ name: 'front' });
  await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'front' }] });
  asked.length = 0;
  world.kernel.foreign.flushRuleset();
  await eventually(() => assert.ok(world.kernel.tables.has('inet moor')));
  assert.deepEqual([...new Set(asked)], [HOST]);
});

test('a namespace that was made anew gets its table and its sockets again', async () => {
  const { bench, resolver } = await prepared();
  await using _bench = bench;
  const { value } = await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'front' }] });
  const told = resolver.calls.length;
  bench.kernel.foreign.removeNetns(pathOf(bench, 'web'));
  await bench.engine.reconcile();
  assert.deepEqual(tablesIn(bench, 'web'), ['ip moor_names']);
  assert.deepEqual(resolver.calls.slice(told), [`serve ${value.id}`]);
});

test("the host's resolv.conf is followed: upstreams of who asks it, files that nobody edited", async () => {
  let text = 'nameserver 192.0.2.53\nsearch lan\n';
  const base = createFakeKernel();
  const facts = async (): ReturnType<typeof base.facts> => ({ ...(await base.facts()), resolvConf: text });
  const world = { ...newWorld(), kernel: base };
  let changed = (): void => assert.fail('nobody listens');
  let listening = 0;
  const { bench, resolver } = await prepared({
    world,
    between: { kernel: (real) => ({ ...real, facts }) },
    watchResolvConf: (listener) => {
      changed = listener;
      listening++;
      return { [Symbol.dispose]: () => void listening-- };
    },
  });
  const { engine, kernel } = bench;
  const front = { networks: [{ network: 'front' }] };
  await engine.sandboxes.create({ name: 'web', ...front, managed: true });
  await engine.sandboxes.create({ name: 'own', ...front, dns: { servers: ['192.0.2.9'], search: ['x'], options: ['y'] } });
  const plain = (await engine.sandboxes.create({ name: 'plain', managed: true })).value;
  const edited = (await engine.sandboxes.create({ name: 'edited', managed: true })).value;
  kernel.files.set(`/exec/sandboxes/${edited.id}/resolv.conf`, 'nameserver 10.0.0.1\n');
  const told = resolver.calls.length;
  text = 'nameserver 127.0.0.1\nnameserver 192.0.2.54\nsearch corp\n';
  changed();
  await eventually(() => assert.match(fileOf(bench, plain.id), /^nameserver 192\.0\.2\.54\nsearch corp\n/));
  assert.match(resolvConf(bench, 'web'), /^nameserver 127\.0\.0\.11\nsearch corp\n/);
  assert.match(resolvConf(bench, 'own'), /^nameserver 127\.0\.0\.11\nsearch x\n/);
  assert.equal(fileOf(bench, edited.id), 'nameserver 10.0.0.1\n');
  assert.deepEqual(
    resolver.clients.get(engine.sandboxes.get('web').id)?.upstreams.map(({ address, from }) => [address, from]),
    [
      ['127.0.0.1', 'host'],
      ['192.0.2.54', 'host'],
    ],
  );
  assert.deepEqual(resolver.calls.slice(told), [`serve ${engine.sandboxes.get('web').id}`]);
  changed();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(resolver.calls.length, told + 1, 'the same text is no news');
  assert.equal(listening, 1);
  await bench[Symbol.asyncDispose]();
  assert.equal(listening, 0);
});

test('an adopted namespace is left as it was', async () => {
  const { bench, resolver } = await prepared();
  await using _bench = bench;
  bench.kernel.adopt('/proc/4001/ns/net');
  await bench.engine.sandboxes.create({ name: 'lab', adopt: { pid: 4001 }, networks: [{ network: 'front' }] });
  const { tables } = bench.kernel.spaces.get('/proc/4001/ns/net');
  assert.deepEqual([tables.size, clientsOf(bench, resolver)], [1, ['lab']]);
  await bench.engine.sandboxes.remove('lab');
  assert.deepEqual([tables.size, resolver.clients.size], [0, 0]);
});

test("the host's resolv.conf changed while no daemon ran, and the daemon's own flags: what nobody edited follows", async () => {
  let text = 'nameserver 192.0.2.53\n';
  const base = createFakeKernel();
  const facts = async (): ReturnType<typeof base.facts> => ({ ...(await base.facts()), resolvConf: text });
  const world = { ...newWorld(), kernel: base };
  const between = { kernel: (real: typeof base): typeof base => ({ ...real, facts }) };
  const run = (config = {}): Promise<Bench> => start({ world, config, between: { kernel: () => between.kernel(base) } });
  const first = await run();
  const plain = (await first.engine.sandboxes.create({ name: 'plain', managed: true })).value;
  const edited = (await first.engine.sandboxes.create({ name: 'edited', managed: true })).value;
  await first[Symbol.asyncDispose]();
  base.files.set(`/exec/sandboxes/${edited.id}/resolv.conf`, 'nameserver 10.0.0.1\n');
  text = 'nameserver 192.0.2.54\n';
  await (await run())[Symbol.asyncDispose]();
  assert.match(fileOf(world, plain.id), /^nameserver 192\.0\.2\.54\n/);
  await (await run({ dns: { ...NONE, servers: ['192.0.2.77'] } }))[Symbol.asyncDispose]();
  assert.match(fileOf(world, plain.id), /^nameserver 192\.0\.2\.77\n/);
  const logged = base.log.length;
  await (await run({ dns: { ...NONE, servers: ['192.0.2.77'] } }))[Symbol.asyncDispose]();
  assert.deepEqual(
    base.log.slice(logged).filter((change) => change.kind === 'file'),
    [],
    'nothing changed',
  );
  assert.equal(fileOf(world, edited.id), 'nameserver 10.0.0.1\n');
});

test('a reset stops everything', async () => {
  const { bench, resolver } = await prepared();
  await using _bench = bench;
  await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'front' }] });
  await bench.engine.reset();
  assert.deepEqual([resolver.clients.size, resolver.records.size], [0, 0]);
  assert.deepEqual([...bench.kernel.spaces.byPath.keys()], [HOST]);
});

test('aliases and links that nobody can ask for are refused', async () => {
  const { bench } = await prepared();
  await using _bench = bench;
  const asked = (endpoint: object) => bench.engine.sandboxes.create({ networks: [{ network: 'front', endpoint }] });
  await assert.rejects(asked({ aliases: ['two words'] }), { kind: 'invalid', message: /invalid network alias "two words"/ });
  await assert.rejects(asked({ links: ['a:b:c'] }), { kind: 'invalid', message: /bad format for links: a:b:c/ });
  await asked({ aliases: ['My_Alias.x', '-'], links: ['nobody'] });
});
