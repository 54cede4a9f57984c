/** Somebody else changes what is ours: it comes back, and a line says what and why. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIfAddress } from '../../src/base/ip.ts';
import { HOST } from '../../src/contracts/change.ts';
import { describe } from '../../src/contracts/describe.ts';
import { createFakeKernel } from '../../src/kernel/fake/fake.ts';
import { type Bench, eventually, kernelState, newWorld, start } from './setup.ts';

async function prepared(): Promise<Bench> {
  const bench = await start();
  await bench.engine.networks.create({ name: 'net', pools: [{ subnet: '192.168.7.0/24' }] });
  await bench.engine.sandboxes.create({ name: 'aa', networks: [{ network: 'net' }] });
  await bench.engine.sandboxes.create({ name: 'bb', networks: [{ network: 'net' }] });
  await new Promise((resolve) => setImmediate(resolve));
  return bench;
}

const pathOf = ({ engine }: Bench, name: string): string => {
  const { netns } = engine.sandboxes.get(name);
  return netns.type === 'host' ? HOST : netns.path;
};

/** Without MAC addresses that the fake makes up anew. */
const state = ({ kernel }: Bench): unknown =>
  JSON.parse(JSON.stringify(kernelState(kernel)).replaceAll(/"mac":"0a:00:[0-9a-f:]*"/g, '"mac":"made up"'));

const DRIFT: Record<string, { readonly by: (bench: Bench) => void; readonly lines: readonly RegExp[] }> = {
  'a default route': {
    by: (bench) => bench.kernel.foreign.flushRoutes(pathOf(bench, 'aa'), 'eth0'),
    lines: [/^restored route 192\.168\.7\.0\/24 dev eth0 in sandbox aa: it was deleted$/],
  },
  'an address in a sandbox': {
    by: (bench) => bench.kernel.foreign.removeAddress(pathOf(bench, 'aa'), 'eth0', parseIfAddress('192.168.7.2/24')),
    lines: [/^restored address 192\.168\.7\.2\/24 on eth0 in sandbox aa: it was deleted$/],
  },
  'the host end of a veth pair': {
    by: (bench) => bench.kernel.foreign.removeLink(HOST, bench.engine.sandboxes.get('aa').endpoints[0]?.hostInterfaceName ?? ''),
    lines: [/^restored link veth[0-9a-f]{7} in sandbox aa: it was deleted$/],
  },
  'the inner end of a veth pair': {
    by: (bench) => bench.kernel.foreign.removeLink(pathOf(bench, 'aa'), 'eth0'),
    lines: [/^restored link veth[0-9a-f]{7} in sandbox aa: it was deleted$/],
  },
  'a bridge, and with it every port': {
    by: (bench) => bench.kernel.foreign.removeLink(HOST, `br-${bench.engine.networks.get('net').id.slice(0, 12)}`),
    lines: [
      /^restored link br-[0-9a-f]{12} in network net: it was deleted$/,
      /in sandbox aa: its master was none$/,
      /in sandbox bb: its master was none$/,
    ],
  },
  'the address of a bridge': {
    by: (bench) =>
      bench.kernel.foreign.removeAddress(
        HOST,
        `br-${bench.engine.networks.get('net').id.slice(0, 12)}`,
        parseIfAddress('192.168.7.1/24'),
      ),
    lines: [/^restored address 192\.168\.7\.1\/24 on br-[0-9a-f]{12} in network net: it was deleted$/],
  },
  'the whole ruleset': {
    by: (bench) => bench.kernel.foreign.flushRuleset(),
    lines: [/^restored table inet moor and \d+ elements in the host: it was deleted$/],
  },
  'a link that is down': {
    by: (bench) => {
      bench.kernel.spaces.get(pathOf(bench, 'aa')).setLink('eth0', { up: false });
      bench.kernel.emit({ type: 'link', netns: pathOf(bench, 'aa'), name: 'eth0', gone: false });
    },
    lines: [/^restored link eth0 in sandbox aa: it was down$/],
  },
  'an element of the table': {
    by: ({ kernel }) => {
      const table = kernel.tables.get('inet moor');
      delete table?.sets['bridges']?.['"moor0"'];
      kernel.emit({ type: 'nft', table: { family: 'inet', name: 'moor' } });
    },
    lines: [/^restored element "moor0" of set bridges in network bridge: it was deleted$/],
  },
  'everything, when notifications were lost': {
    by: (bench) => {
      bench.kernel.spaces.get(pathOf(bench, 'bb')).removeAddress('eth0', parseIfAddress('192.168.7.3/24'));
      bench.kernel.emit({ type: 'overrun' });
    },
    lines: [/^restored address 192\.168\.7\.3\/24 on eth0 in sandbox bb: it was deleted$/],
  },
};

for (const [what, { by, lines }] of Object.entries(DRIFT)) {
  test(`${what}: repaired, and said`, async () => {
    await using bench = await prepared();
    const before = state(bench);
    const told = bench.logger.lines.length;
    by(bench);
    assert.notDeepEqual(state(bench), before);
    await eventually(() => assert.deepEqual(state(bench), before));
    await eventually(() => {
      const said = bench.logger.lines.slice(told).map(({ message }) => message);
      for (const line of lines) assert.equal(said.filter((one) => line.test(one)).length, 1, `${line} in ${said.join('\n')}`);
    });
    const repairs = bench.events.filter(({ action }) => action === 'repair');
    assert.equal(repairs.length, (await bench.engine.status()).repairs.length);
    assert.ok(repairs.length >= lines.length);
    assert.deepEqual(await bench.engine.reconcile(), [], 'nothing is left to repair');
  });
}

test('a namespace that lost its pin: pinned again while its process lives, made anew without one, removed with a dead one', async () => {
  await using bench = await prepared();
  const { engine, kernel, processes } = bench;
  await engine.sandboxes.setProcess('aa', processes.start(7));
  const path = pathOf(bench, 'aa');
  const space = kernel.spaces.get(path);
  kernel.spaces.byPath.set('/proc/7/ns/net', space);
  const links = [...space.links.keys()];
  const logged = kernel.log.length;
  kernel.foreign.removeNetns(path);
  assert.deepEqual(await engine.reconcile(), [`restored network namespace ${path} in sandbox aa: it was gone`]);
  assert.deepEqual([...kernel.spaces.get(path).links.keys()], links);
  assert.equal(
    kernel.log.slice(logged).some((change) => change.kind === 'link'),
    false,
    'its traffic was not touched',
  );

  kernel.foreign.removeNetns(pathOf(bench, 'bb'));
  assert.ok((await engine.reconcile()).length > 2);
  assert.ok(kernel.spaces.get(pathOf(bench, 'bb')).links.has('eth0'));

  processes.end(7);
  kernel.foreign.removeNetns(path);
  kernel.foreign.removeNetns('/proc/7/ns/net');
  await engine.reconcile();
  assert.deepEqual(
    engine.sandboxes.list().map(({ name }) => name),
    ['bb'],
  );
});

test('a dry run tells what would be repaired, removed and swept, and changes nothing', async () => {
  await using bench = await prepared();
  const { engine, kernel, processes } = bench;
  assert.deepEqual((await engine.drift()).changes, []);
  await engine.sandboxes.create({ name: 'cc' });
  await engine.sandboxes.setProcess('cc', processes.start(8));
  const [aa, bb, cc] = ['aa', 'bb', 'cc'].map((name) => engine.sandboxes.get(name));
  // Silently: nobody tells the daemon.
  const host = kernel.spaces.get(HOST);
  const veth = aa?.endpoints[0]?.hostInterfaceName ?? '';
  host.removeLink(veth);
  const path = pathOf(bench, 'bb');
  kernel.spaces.byPath.delete(path);
  kernel.spaces.byPath.delete(pathOf(bench, 'cc'));
  processes.end(8);
  delete kernel.tables.get('inet moor')?.sets['bridges']?.['"moor0"'];
  const before = state(bench);
  const logged = kernel.log.length;
  const { changes } = await engine.drift();
  assert.deepEqual([state(bench), kernel.log.length], [before, logged]);
  const lines = changes.map(describe);
  for (const line of [
    new RegExp(`^ip link add ${veth} .* type veth `),
    new RegExp(`^touch ${path} && unshare --net=${path} ip link set lo up$`),
    new RegExp(`^ip link add ${bb?.endpoints[0]?.hostInterfaceName} `),
    /^nft add element inet moor bridges \{ "moor0" \}$/,
    new RegExp(`^ip link del ${cc?.endpoints[0]?.hostInterfaceName}$`),
  ]) {
    assert.equal(lines.filter((one) => line.test(one)).length, 1, `${line} in ${lines.join('\n')}`);
  }
  await engine.reconcile();
  assert.deepEqual((await engine.drift()).changes, []);
});

test('a link that went takes its addresses and routes with it: one line tells all of it', async () => {
  await using bench = await prepared();
  const told = bench.logger.lines.length;
  bench.kernel.foreign.removeLink(HOST, bench.engine.sandboxes.get('aa').endpoints[0]?.hostInterfaceName ?? '');
  await eventually(() => assert.ok(bench.logger.lines.length > told));
  const [line, ...more] = bench.logger.lines.slice(told);
  assert.deepEqual(more, []);
  assert.match(line?.message ?? '', /^restored link veth[0-9a-f]{7} in sandbox aa: it was deleted$/);
  assert.match(String(line?.fields['also']), /address 192\.168\.7\.2\/24 on eth0, .*route default via 192\.168\.7\.1$/);
});

test('orphans with our mark are swept, others are left alone', async () => {
  const world = newWorld();
  const first = await start({ world });
  await first[Symbol.asyncDispose]();
  const { kernel } = world;
  const host = kernel.spaces.get(HOST);
  const lookup = (): typeof host => host;
  const lost = 'ab'.repeat(32);
  host.addLink({ name: 'lost', kind: { type: 'dummy' }, up: true, alias: `moor::${lost}` }, lookup);
  host.addLink({ name: 'other', kind: { type: 'dummy' }, up: true, alias: `moor:two:${lost}` }, lookup);
  const [bridge = ''] = [...host.links.values()].map(({ state: { alias } }) => alias).filter((alias) => alias !== '');
  host.addLink({ name: 'renamed', kind: { type: 'bridge' }, up: false, alias: bridge }, lookup);
  host.addLink({ name: 'docker0', kind: { type: 'bridge' }, up: true }, lookup);
  kernel.adopt('/exec/netns/abababababab');
  kernel.adopt('/run/netns/foreign');
  kernel.files.set(`/exec/sandboxes/${lost}/hosts`, 'x');
  const bridges = kernel.tables.get('inet moor')?.sets['bridges'];
  assert.ok(bridges);
  bridges['"gone"'] = '';
  await using second = await start({ world });
  assert.deepEqual([...host.links.keys()].toSorted(), ['docker0', 'lo', 'moor0', 'other']);
  assert.equal(kernel.spaces.byPath.has('/exec/netns/abababababab'), false);
  assert.equal(kernel.spaces.byPath.has('/run/netns/foreign'), true);
  assert.deepEqual(kernel.files, new Map());
  assert.deepEqual(Object.keys(kernel.tables.get('inet moor')?.sets['bridges'] ?? {}), ['"moor0"']);
  const warnings = second.logger.lines.filter(({ message }) => message.startsWith('removed what nobody owns: '));
  assert.equal(warnings.length, 1);
  const [line] = warnings;
  assert.deepEqual(line?.fields, { count: 5 });
  assert.match(line?.message ?? '', /(^|, )network namespace \/exec\/netns\/abababababab(, |$)/);
  assert.doesNotMatch(line?.message ?? '', /[{}]/);
});

test('a file that was to become a pin, and had no namespace mounted yet, is swept', async () => {
  const world = newWorld();
  world.kernel.files.set('/exec/netns/abababababab', '');
  await using bench = await start({ world });
  const { value } = await bench.engine.sandboxes.create({ name: 'stays', networks: [{ network: 'bridge' }] });
  await bench.engine.reconcile();
  const removed = world.kernel.log.flatMap((change) => (change.kind === 'netns' && change.op === 'remove' ? [change.path] : []));
  assert.deepEqual([...new Set(removed)], ['/exec/netns/abababababab']);
  assert.ok(world.kernel.spaces.byPath.has(`/exec/netns/${value.id.slice(0, 12)}`));
});

test('what a write that was cut off left beside the files of a sandbox that is there is swept', async () => {
  const world = newWorld();
  const first = await start({ world });
  const { value } = await first.engine.sandboxes.create({ name: 'stays', networks: [{ network: 'bridge' }] });
  await first[Symbol.asyncDispose]();
  const files = new Map(world.kernel.files);
  world.kernel.files.set(`/exec/sandboxes/${value.id}/hosts.new`, 'half');
  await using _second = await start({ world });
  assert.deepEqual(world.kernel.files, files);
});

test('a row that cannot be read is reported, and its links are left alone', async () => {
  const world = newWorld();
  const first = await start({ world });
  const { value } = await first.engine.networks.create({ name: 'damaged' });
  const bridge = first.engine.networks.get('bridge');
  await first[Symbol.asyncDispose]();
  await world.store.commit([
    { type: 'put', key: `network/${value.id}`, value: '{"schema":1' },
    { type: 'put', key: `network/${bridge.id}`, value: '{"schema":99}' },
  ]);
  await using second = await start({ world });
  assert.deepEqual(
    second.engine.networks
      .list()
      .map(({ name }) => name)
      .toSorted(),
    ['bridge', 'host', 'none'],
  );
  assert.equal(second.engine.networks.get('bridge').id, bridge.id, 'a predefined network is made again under its id');
  assert.ok(world.kernel.spaces.get(HOST).links.has(`br-${value.id.slice(0, 12)}`));
  assert.match(
    (await second.engine.status()).warnings.join('\n'),
    new RegExp(`^row network/${value.id} of the store cannot be read`),
  );
});

test('after a reboot everything is made again; a sandbox that was a process is not', async () => {
  const world = newWorld();
  const first = await start({ world });
  await first.engine.networks.create({ name: 'net' });
  await first.engine.sandboxes.create({ name: 'stack', networks: [{ network: 'net' }] });
  await first.engine.sandboxes.create({ name: 'job', networks: [{ network: 'net' }] });
  await first.engine.sandboxes.setProcess('job', world.processes.start(7));
  await first[Symbol.asyncDispose]();
  const rebooted = { ...newWorld(), store: world.store };
  await using second = await start({ world: rebooted });
  assert.deepEqual(
    second.engine.sandboxes.list().map(({ name }) => name),
    ['stack'],
  );
  assert.ok(rebooted.kernel.spaces.get(pathOf(second, 'stack')).links.has('eth0'));
  assert.deepEqual(await second.engine.reconcile(), []);
});

test('the first start makes the table; a later one that misses it says that it was deleted', async () => {
  const world = newWorld();
  const setUp = async (): Promise<string[]> => {
    await using bench = await start({ world });
    return bench.logger.messages('info').filter((line) => line.startsWith('set up table'));
  };
  const [first = '', ...rest] = await setUp();
  assert.match(first, /^set up table inet moor and \d+ elements in the host: this is the first start$/);
  assert.deepEqual([rest, await setUp()], [[], []]);
  world.kernel.foreign.flushRuleset();
  assert.match((await setUp())[0] ?? '', /^set up table inet moor and \d+ elements in the host: it was deleted$/);
});

test('sysctls go back to what they were before the first start, whatever happened since', async () => {
  const world = newWorld();
  for (let i = 0; i < 3; i++) await (await start({ world }))[Symbol.asyncDispose]();
  const host = world.kernel.spaces.get(HOST);
  assert.equal(host.sysctls.get('net/ipv4/ip_forward'), '1');
  await using bench = await start({ world });
  await bench.engine.networks.create({ name: 'net' });
  await bench.engine.sandboxes.create({ name: 'job' });
  await bench.engine.sandboxes.setProcess('job', world.processes.start(7));
  const plan = (await bench.engine.reset({ dryRun: true })).plan;
  assert.ok(plan.changes.length > 5);
  assert.equal(world.processes.running.has(7), true);
  await bench.engine.reset();
  assert.equal(world.processes.running.has(7), false);
  assert.equal(host.sysctls.get('net/ipv4/ip_forward'), '0');
  assert.deepEqual([...host.links.keys()], ['lo']);
  assert.deepEqual([...world.kernel.spaces.byPath.keys()], [HOST]);
  assert.equal(world.kernel.tables.size, 0);
  assert.equal(world.kernel.files.size, 0);
  await assert.rejects(bench.engine.networks.create({ name: 'late' }), { kind: 'unavailable' });
  await bench[Symbol.asyncDispose]();
  assert.deepEqual((await world.store.list('')).entries, []);
  await using again = await start({ world, config: { resetOnStart: true } });
  assert.equal(again.engine.networks.list().length, 3);
});

test('an uplink with another MTU: networks and endpoints follow', async () => {
  const world = newWorld();
  const host = world.kernel.spaces.get(HOST);
  host.addLink({ name: 'eth0', kind: { type: 'dummy' }, up: true }, () => host);
  host.addAddress('eth0', parseIfAddress('203.0.113.5/24'));
  host.routes.push({ destination: '0.0.0.0/0', device: 'eth0' } as (typeof host.routes)[number]);
  await using bench = await start({ world });
  await bench.engine.sandboxes.create({ name: 'ss' });
  await bench.engine.networks.create({ name: 'n', pools: [{ subnet: '10.9.0.0/24' }] });
  const from = bench.logger.lines.length;
  for (const mtu of [9000, 1400, 1500]) {
    host.setLink('eth0', { mtu });
    world.kernel.emit({ type: 'link', netns: HOST, name: 'eth0', gone: false });
    await eventually(() => {
      assert.equal(host.link('moor0').state.mtu, mtu);
      assert.equal(world.kernel.spaces.get(pathOf(bench, 'ss')).link('eth0').state.mtu, mtu);
    });
  }
  host.setLink('eth0', { mtu: 1400 });
  world.kernel.emit({ type: 'link', netns: HOST, name: 'eth0', gone: false });
  await eventually(() => assert.equal(host.link('moor0').state.mtu, 1400));
  // An uplink that is away for a moment is one that comes back: nobody takes over the MTU of none.
  const [way] = host.routes.splice(
    host.routes.findIndex(({ destination }) => destination === '0.0.0.0/0'),
    1,
  );
  assert.ok(way);
  const uplink = async (): Promise<string> => (await bench.engine.status()).facts.uplink;
  world.kernel.emit({ type: 'route', netns: HOST, device: 'eth0' });
  await eventually(async () => assert.equal(await uplink(), ''));
  const away = await bench.engine.networks.create({ name: 'away', pools: [{ subnet: '10.8.0.0/24' }] });
  for (const name of ['moor0', `br-${away.value.id.slice(0, 12)}`]) assert.equal(host.link(name).state.mtu, 1400);
  host.routes.push(way);
  world.kernel.emit({ type: 'route', netns: HOST, device: 'eth0' });
  await eventually(async () => assert.equal(await uplink(), 'eth0'));
  assert.equal(host.link('moor0').state.mtu, 1400);
  const said = bench.logger.lines.slice(from).map(({ level, message }) => `${level} ${message}`);
  assert.deepEqual(said, [
    ...[
      [9000, 1500],
      [1400, 9000],
      [1500, 1400],
      [1400, 1500],
    ].map(([mtu, old]) => `info 2 networks and 1 sandbox follow the uplink eth0: its MTU is ${mtu}, no longer ${old}`),
  ]);
  assert.equal(bench.events.filter(({ action }) => action === 'repair').length, 0);
  // The host's own subnet is not given to a network.
  const made = await bench.engine.networks.create({ name: 'x' });
  assert.equal(made.value.pools[0]?.subnet, '172.18.0.0/16');
});

test('a rule in a chain of others goes when nothing is dropped there any more, and at reset', async () => {
  const docker = { family: 'ip', table: 'filter', chain: 'FORWARD', userChain: 'DOCKER-USER' } as const;
  const facts = { foreignForward: [{ ...docker, policy: 'drop' as 'drop' | 'accept' }] };
  const kernel = createFakeKernel({ facts });
  const filter = { family: 'ip', name: 'filter', sets: [], chains: [{ name: 'DOCKER-USER', rules: [] }] } as const;
  await kernel.apply([{ kind: 'nft-table', op: 'add', table: filter }]);
  const rules = async (): Promise<readonly string[] | undefined> => (await kernel.listTable(filter))?.chains['DOCKER-USER'];
  const policy = (value: 'drop' | 'accept'): void => {
    facts.foreignForward = [{ ...docker, policy: value }];
    kernel.emit({ type: 'nft', table: filter });
  };
  await using bench = await start({ world: { ...newWorld(), kernel }, config: { times: { settle: 1, sweep: 20 } } });
  const ours = ['moor: forwarded by Moorline'];
  assert.deepEqual(await rules(), ours);
  policy('accept');
  await eventually(async () => assert.deepEqual(await rules(), []));
  policy('drop');
  await eventually(async () => assert.deepEqual(await rules(), ours));
  policy('accept');
  await bench.engine.reset();
  assert.deepEqual(await rules(), []);
});

test('another program that keeps changing something is not fought without end', async () => {
  let now = 1_000_000;
  await using bench = await start({ now: () => now });
  const { engine, kernel, logger } = bench;
  await engine.sandboxes.create({ name: 'ss' });
  await new Promise((resolve) => setImmediate(resolve));
  const path = pathOf(bench, 'ss');
  const repairs = async (): Promise<number> => (await engine.status()).repairs.length;
  // The connected route and the default route: two lines each time.
  for (let i = 1; i <= 5; i++) {
    kernel.foreign.flushRoutes(path, 'eth0');
    await eventually(async () => assert.equal(await repairs(), 2 * i));
  }
  assert.match(logger.messages('warn').join('\n'), /something keeps changing sandbox ss: next repair in 1 s at the earliest/);
  kernel.foreign.flushRoutes(path, 'eth0');
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(await repairs(), 10);
  now += 1001;
  kernel.emit({ type: 'route', netns: path, device: 'eth0' });
  await eventually(async () => assert.equal(await repairs(), 12));
});
