import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePrefix } from '../../src/base/ip.ts';
import { HOST } from '../../src/contracts/change.ts';
import { type Bench, kernelState, newWorld, rows, start, usage } from './setup.ts';

test('the predefined networks exist after the first start, with the same ids after the next', async () => {
  const world = newWorld();
  const first = await start({ world });
  assert.deepEqual(
    first.engine.networks.list().map(({ name, driver, predefined }) => [name, driver, predefined]),
    [
      ['bridge', 'bridge', true],
      ['host', 'host', true],
      ['none', 'null', true],
    ],
  );
  const bridge = first.engine.networks.get('bridge');
  assert.equal(bridge.pools[0]?.subnet, '172.17.0.0/16');
  assert.equal(bridge.pools[0]?.gateway, '172.17.0.1');
  assert.equal(world.kernel.spaces.get(HOST).link('moor0').state.type, 'bridge');
  const before = kernelState(world.kernel);
  const logged = world.kernel.log.length;
  await first[Symbol.asyncDispose]();

  await using second = await start({ world });
  assert.deepEqual(second.engine.networks.list(), first.engine.networks.list());
  assert.deepEqual(kernelState(world.kernel), before);
  const touched = world.kernel.log.slice(logged).filter(({ kind }) => kind !== 'sysctl' && kind !== 'file');
  assert.deepEqual(touched, [], 'a restart touches nothing that is right');
});

test('a network is made, stored, announced and removed again without a trace', async () => {
  await using bench = await start();
  const { engine, kernel, store, ipam } = bench;
  const before = { kernel: kernelState(kernel), rows: await rows(store), ipam: usage(ipam) };
  const { value, plan } = await engine.networks.create({
    name: 'my_net2',
    pools: [{ subnet: '192.168.7.0/24', gateway: '192.168.7.1', auxiliary: { router: '192.168.7.5' } }],
    labels: { a: 'b' },
  });
  assert.equal(plan.title, 'create network my_net2 (bridge)');
  assert.equal(engine.networks.get('my_net2'), value);
  assert.equal(engine.networks.get(value.id), value);
  assert.equal(engine.networks.get(value.id.slice(0, 10)), value);
  assert.ok(kernel.spaces.get(HOST).links.has(`br-${value.id.slice(0, 12)}`));
  assert.deepEqual((await rows(store))[`network/${value.id}`], { schema: 1, network: value });
  assert.deepEqual(bench.events.at(-1), {
    type: 'network',
    action: 'create',
    actorId: value.id,
    attributes: { name: 'my_net2', type: 'bridge' },
    time: bench.events.at(-1)?.time,
  });
  assert.equal(usage(ipam).find(({ subnet }) => subnet === '192.168.7.0/24')?.used, 2n);

  await engine.networks.remove('my_net2');
  assert.equal(bench.events.at(-1)?.action, 'destroy');
  assert.deepEqual({ kernel: kernelState(kernel), rows: await rows(store), ipam: usage(ipam) }, before);
  assert.throws(() => engine.networks.get('my_net2'), { kind: 'not-found', message: 'network my_net2 not found' });
});

test("bad requests are refused with Docker's texts, and nothing has changed", async () => {
  await using bench = await start();
  const { engine, kernel, store, ipam } = bench;
  await engine.networks.create({ name: 'a', pools: [{ subnet: '192.168.7.0/24' }] });
  const before = { kernel: kernelState(kernel), rows: await rows(store), ipam: usage(ipam) };
  const refused = async (spec: Parameters<typeof engine.networks.create>[0], kind: string, message: RegExp): Promise<void> => {
    await assert.rejects(engine.networks.create(spec), { kind, message });
  };
  await refused({ name: 'a' }, 'conflict', /^network with name a already exists$/);
  await refused({ name: 'bridge' }, 'forbidden', /^operation is not permitted on predefined bridge network$/);
  await refused({ name: 'a/b' }, 'invalid', /only \[a-zA-Z0-9\]/);
  await refused(
    { name: 'b', driver: 'nope' },
    'not-found',
    /^could not find plugin nope in v1 plugin registry: plugin not found$/,
  );
  await refused({ name: 'b', driver: 'host' }, 'forbidden', /^only one instance of "host" network is allowed$/);
  await refused({ name: 'b', ipamDriver: 'nope' }, 'not-found', /^could not find plugin nope/);
  await refused({ name: 'b', scope: 'swarm' }, 'invalid', /scope swarm/);
  await refused(
    { name: 'b', pools: [{ subnet: '192.168.7.128/25' }] },
    'conflict',
    /Pool overlaps with other one on this address space/,
  );
  await refused({ name: 'b', pools: [{ subnet: '10.9.0.1/24' }] }, 'invalid', /10\.9\.0\.0\/24/);
  await refused({ name: 'b', pools: [{ subnet: '10.9.0.0/24', gateway: '10.8.0.1' }] }, 'invalid', /gateway/);
  await refused({ name: 'b', options: { 'com.example.x': '1' } }, 'invalid', /com\.example\.x/);
  await refused(
    { name: 'b', options: { 'com.docker.network.bridge.name': 'moor0' } },
    'conflict',
    /networks have same bridge name/,
  );
  await refused({ name: 'b', options: { 'com.docker.network.enable_ipv6': 'maybe' } }, 'invalid', /not a valid bool/);
  assert.deepEqual({ kernel: kernelState(kernel), rows: await rows(store), ipam: usage(ipam) }, before);
  await assert.rejects(engine.networks.remove('bridge'), {
    kind: 'forbidden',
    message: 'bridge is a pre-defined network and cannot be removed',
  });
});

test('a name that is asked for twice at once goes to one', async () => {
  await using bench = await start();
  const results = await Promise.allSettled(Array.from({ length: 5 }, () => bench.engine.networks.create({ name: 'same' })));
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const result of results) {
    if (result.status === 'rejected') assert.equal((result.reason as Error).message, 'network with name same already exists');
  }
  const bridges = await Promise.allSettled(
    ['x', 'y'].map((name) => bench.engine.networks.create({ name, options: { 'com.docker.network.bridge.name': 'brx' } })),
  );
  assert.deepEqual(bridges.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
});

test('a subnet that lies across a route of the host is made, with a warning', async () => {
  const world = newWorld();
  const { routes } = world.kernel.spaces.get(HOST);
  for (const destination of ['0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1', '203.0.113.0/24'].map(parsePrefix)) {
    routes.push({ destination, device: 'eth0' });
  }
  await using bench = await start({ world });
  const { networks } = bench.engine;
  const warning =
    'subnet 203.0.113.0/25 overlaps route 203.0.113.0/24 of this host: what the host reached there is on this network from now on, or out of reach';
  const over = { name: 'over', pools: [{ subnet: '203.0.113.0/25' }] };
  assert.deepEqual((await networks.create(over, { dryRun: true })).warnings, [warning]);
  assert.deepEqual((await networks.create(over)).warnings, [warning]);
  assert.deepEqual((await networks.create({ name: 'beside', pools: [{ subnet: '192.168.7.0/24' }] })).warnings, []);
  assert.deepEqual((await networks.create({ name: 'any' })).warnings, []);
  const both = { name: 'both', pools: [{ subnet: 'fd00:7::/64' }, { subnet: '192.168.8.0/24' }] };
  assert.deepEqual((await networks.create(both)).warnings, [
    'subnet fd00:7::/64 is left out: the network has no IPv6, which --ipv6 would bring',
  ]);
});

test('a dry run reserves and changes nothing', async () => {
  await using bench = await start();
  const { engine, kernel, store, ipam } = bench;
  const before = { kernel: kernelState(kernel), rows: await rows(store), ipam: usage(ipam) };
  const made = await engine.networks.create({ name: 'dry' }, { dryRun: true });
  assert.equal(made.value.pools[0]?.subnet, '172.18.0.0/16');
  assert.ok(made.plan.changes.length > 0);
  assert.deepEqual({ kernel: kernelState(kernel), rows: await rows(store), ipam: usage(ipam) }, before);
  assert.equal((await engine.networks.create({ name: 'wet' })).value.pools[0]?.subnet, '172.18.0.0/16');
  const gone = await engine.networks.remove('wet', { dryRun: true });
  assert.ok(gone.plan.changes.some((change) => change.kind === 'link' && change.op === 'remove'));
  assert.equal(engine.networks.get('wet').name, 'wet');
});

test('a freed pool is used again at once although the facts are older', async () => {
  await using bench = await start();
  const { engine } = bench;
  await engine.networks.create({ name: 'one' });
  await bench.engine.reconcile();
  await engine.networks.remove('one');
  assert.equal((await engine.networks.create({ name: 'two' })).value.pools[0]?.subnet, '172.18.0.0/16');
});

test('a network with endpoints is not removed, and says which', async () => {
  await using bench = await start();
  const { engine } = bench;
  await engine.networks.create({ name: 'busy' });
  const { value } = await engine.sandboxes.create({ name: 'web', networks: [{ network: 'busy' }] });
  await assert.rejects(engine.networks.remove('busy'), {
    kind: 'forbidden',
    message: `error while removing network: network busy has active endpoints (name:"web" id:"${value.endpoints[0]?.id.slice(0, 12)}")`,
  });
});

test('prune removes what is unused and fits the filter', async () => {
  await using bench = await start();
  const { engine } = bench;
  for (const name of ['used', 'free', 'kept'])
    await engine.networks.create({ name, labels: name === 'kept' ? { keep: '' } : {} });
  await engine.sandboxes.create({ networks: [{ network: 'used' }] });
  const accepts = ({ labels }: { readonly labels: Readonly<Record<string, string>> }): boolean => !('keep' in labels);
  assert.deepEqual((await engine.networks.prune({ accepts }, { dryRun: true })).value.networks, ['free']);
  assert.deepEqual((await engine.networks.prune({ accepts })).value.networks, ['free']);
  assert.deepEqual(
    engine.networks.list().map(({ name }) => name),
    ['bridge', 'host', 'none', 'used', 'kept'],
  );
  assert.deepEqual((await engine.networks.prune({ until: 0 })).value.networks, []);
  assert.deepEqual(
    bench.events.filter(({ action }) => action === 'prune').map(({ type, attributes }) => [type, attributes]),
    [
      ['network', { reclaimed: '0' }],
      ['network', { reclaimed: '0' }],
    ],
    "each time, as Docker's, and not for a dry run",
  );
});

test('the default bridge follows a changed configuration under its old id, unless it is in use', async () => {
  const world = newWorld();
  const first = await start({ world });
  const { id } = first.engine.networks.get('bridge');
  await first[Symbol.asyncDispose]();
  const changed = { defaultBridge: { name: 'moor0', bip: '10.1.2.3/24', fixedCidr: '10.1.2.128/25', options: {}, ipv6: false } };
  const second = await start({ world, config: changed });
  const bridge = second.engine.networks.get('bridge');
  assert.equal(bridge.id, id);
  assert.deepEqual(bridge.pools[0], {
    family: 4,
    subnet: '10.1.2.0/24',
    gateway: '10.1.2.3',
    range: '10.1.2.128/25',
    auxiliary: {},
    configured: true,
  });
  assert.ok(world.kernel.spaces.get(HOST).addresses.some(({ address }) => address === '10.1.2.3/24'));
  await second.engine.sandboxes.create({ name: 'user' });
  await second[Symbol.asyncDispose]();
  await using third = await start({ world });
  assert.equal(third.engine.networks.get('bridge').pools[0]?.subnet, '10.1.2.0/24');
  assert.match(third.logger.messages('warn').join('\n'), /keeps its old configuration/);
});

test('an address that is released is not the next one after a restart, while another is free', async () => {
  const world = newWorld();
  const address = async ({ engine }: Bench, name: string): Promise<string | undefined> =>
    (await engine.sandboxes.create({ name, networks: [{ network: 'net' }] })).value.endpoints[0]?.ipv4 ?? undefined;
  const notes = async (): Promise<number> => (await world.store.list('turn/')).entries.length;
  {
    await using bench = await start({ world });
    await bench.engine.networks.create({ name: 'net', pools: [{ subnet: '10.9.0.0/29' }] });
    assert.deepEqual([await address(bench, 'boxa'), await address(bench, 'boxb')], ['10.9.0.2/29', '10.9.0.3/29']);
    await bench.engine.networks.disconnect('net', 'boxb');
    await bench.engine.sandboxes.remove('boxa');
  }
  {
    await using bench = await start({ world });
    assert.equal(await address(bench, 'boxc'), '10.9.0.4/29', 'nobody is on it, and it goes on where it was');
    await bench.engine.sandboxes.remove('boxc');
    assert.equal(await address(bench, 'boxd'), '10.9.0.5/29');
  }
  await using bench = await start({ world });
  assert.equal(await address(bench, 'boxe'), '10.9.0.6/29', 'behind who has come since the last removal');
  assert.equal(await address(bench, 'boxf'), '10.9.0.2/29', 'all were in use: from the start');
  for (const name of ['boxd', 'boxe', 'boxf']) await bench.engine.sandboxes.remove(name);
  assert.equal(await notes(), 1);
  await bench.engine.networks.remove('net');
  assert.equal(await notes(), 0);
});
