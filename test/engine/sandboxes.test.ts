import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOST } from '../../src/contracts/change.ts';
import type { Route } from '../../src/contracts/change.ts';
import { eventually, kernelState, newWorld, rows, start, usage, type Bench } from './setup.ts';

const netnsOf = (bench: Bench, name: string): string => {
  const { netns } = bench.engine.sandboxes.get(name);
  return netns.type === 'host' ? HOST : netns.path;
};

/** Of the main table. */
const defaults = (bench: Bench, name: string): readonly Route[] =>
  bench.kernel.spaces
    .get(netnsOf(bench, name))
    .routes.filter(({ destination, table = 254 }) => destination.endsWith('/0') && table === 254);

test('a sandbox comes with namespace, files, addresses and a way out, and goes without a trace', async () => {
  await using bench = await start();
  const { engine, kernel, store, ipam } = bench;
  await engine.networks.create({ name: 'my_net2', pools: [{ subnet: '192.168.7.0/24', gateway: '192.168.7.1' }] });
  const before = { kernel: kernelState(kernel), rows: await rows(store), ipam: usage(ipam) };
  const { value } = await engine.sandboxes.create({
    name: 'web',
    hostname: 'www',
    networks: [{ network: 'my_net2', endpoint: { ipv4: '192.168.7.10' } }],
  });
  const path = `/exec/netns/${value.id.slice(0, 12)}`;
  assert.deepEqual(value.netns, { type: 'own', path });
  const endpoint = value.endpoints[0];
  assert.equal(endpoint?.ipv4, '192.168.7.10/24');
  assert.equal(endpoint.mac, '02:42:c0:a8:07:0a');
  assert.equal(endpoint.interfaceName, 'eth0');
  assert.equal(endpoint.hostInterfaceName, `veth${endpoint.id.slice(0, 7)}`);
  const inside = kernel.spaces.get(path);
  assert.ok(inside.addresses.some(({ device, address }) => device === 'eth0' && address === '192.168.7.10/24'));
  assert.deepEqual(
    defaults(bench, 'web').map(({ via, device }) => [via, device]),
    [['192.168.7.1', 'eth0']],
  );
  assert.deepEqual(engine.sandboxes.files('web'), {
    '/etc/hosts': `/exec/sandboxes/${value.id}/hosts`,
    '/etc/resolv.conf': `/exec/sandboxes/${value.id}/resolv.conf`,
    '/etc/hostname': `/exec/sandboxes/${value.id}/hostname`,
  });
  assert.equal(kernel.files.get(`/exec/sandboxes/${value.id}/hostname`), 'www\n');
  assert.match(kernel.files.get(`/exec/sandboxes/${value.id}/resolv.conf`) ?? '', /^nameserver 127\.0\.0\.11\n/);
  assert.match(
    kernel.files.get(`/exec/sandboxes/${value.id}/hosts`) ?? '',
    /^127\.0\.0\.1\tlocalhost\n[^]*\n192\.168\.7\.10\twww web\n$/,
  );
  assert.deepEqual(
    bench.events.slice(-2).map(({ type, action, attributes }) => [type, action, attributes]),
    [
      ['container', 'create', { name: 'web' }],
      ['network', 'connect', { container: value.id, name: 'my_net2', type: 'bridge' }],
    ],
  );
  await engine.sandboxes.remove('web');
  assert.deepEqual({ kernel: kernelState(kernel), rows: await rows(store), ipam: usage(ipam) }, before);
  assert.throws(() => engine.sandboxes.get('web'), { kind: 'not-found', message: 'No such container: web' });
});

test('without networks it is the default one; `none` and `host` stand alone', async () => {
  await using bench = await start();
  const { engine, kernel } = bench;
  const plain = (await engine.sandboxes.create({})).value;
  assert.match(plain.name, /^[a-z]+_[a-z]+$/);
  assert.equal(plain.hostname, plain.id.slice(0, 12));
  assert.equal(plain.endpoints[0]?.networkId, engine.networks.get('bridge').id);
  const bare = (await engine.sandboxes.create({ name: 'bare', networks: [{ network: 'none' }] })).value;
  assert.equal(bare.endpoints[0]?.interfaceName, '');
  assert.equal(bare.endpoints[0].mac, null);
  assert.deepEqual([...kernel.spaces.get(netnsOf(bench, 'bare')).links.keys()], ['lo']);
  const host = (await engine.sandboxes.create({ name: 'hosted', networks: [{ network: 'host' }] })).value;
  assert.deepEqual(host.netns, { type: 'host' });
  assert.equal(host.hostname, 'fake');
  assert.deepEqual(engine.sandboxes.files('hosted'), {});

  await engine.networks.create({ name: 'net' });
  const invalid = (message: string): { kind: string; message: string } => ({ kind: 'invalid', message });
  await assert.rejects(
    engine.networks.connect('net', { sandbox: 'bare', endpoint: {} }),
    invalid('container cannot be connected to multiple networks with one of the networks in private (none) mode'),
  );
  await assert.rejects(
    engine.networks.connect('none', { sandbox: plain.name, endpoint: {} }),
    invalid('container cannot be connected to multiple networks with one of the networks in private (none) mode'),
  );
  await assert.rejects(
    engine.networks.connect('net', { sandbox: 'hosted', endpoint: {} }),
    invalid('container sharing network namespace with another container or host cannot be connected to any other network'),
  );
  await assert.rejects(
    engine.networks.connect('host', { sandbox: plain.name, endpoint: {} }),
    invalid('cannot connect container to host network - container must be created in host network mode'),
  );
  await assert.rejects(
    engine.networks.disconnect('host', 'hosted'),
    invalid('cannot disconnect container from host network - container was created in host network mode'),
  );
  await assert.rejects(
    engine.sandboxes.create({ networks: [{ network: 'host' }, { network: 'net' }] }),
    invalid('container sharing network namespace with another container or host cannot be connected to any other network'),
  );
  await engine.sandboxes.remove('hosted');
  await engine.sandboxes.remove('bare');
});

test('connect and disconnect move the default route, and the hosts file follows', async () => {
  await using bench = await start();
  const { engine, kernel } = bench;
  await engine.networks.create({ name: 'b', pools: [{ subnet: '10.2.0.0/24' }] });
  await engine.networks.create({ name: 'a', pools: [{ subnet: '10.1.0.0/24' }] });
  await engine.networks.create({ name: 'inside', internal: true, pools: [{ subnet: '10.3.0.0/24' }] });
  const { value } = await engine.sandboxes.create({ name: 'ss', networks: [{ network: 'b' }] });
  const hosts = (): string => kernel.files.get(`/exec/sandboxes/${value.id}/hosts`) ?? '';
  const via = (): (string | undefined)[] => defaults(bench, 'ss').map((route) => route.via);
  const before = kernelState(kernel);
  assert.deepEqual(via(), ['10.2.0.1']);
  const joined = (await engine.networks.connect('a', { sandbox: 'ss', endpoint: {} })).value;
  assert.equal(joined.interfaceName, 'eth1');
  assert.deepEqual(via(), ['10.1.0.1'], 'the first by network name');
  assert.match(hosts(), /\n10\.2\.0\.2\t.*\n10\.1\.0\.2\t/);
  await engine.networks.connect('inside', { sandbox: 'ss', endpoint: {} });
  assert.deepEqual(via(), ['10.1.0.1'], 'an internal network offers no way out');
  await engine.networks.disconnect('inside', 'ss');
  await engine.networks.disconnect('a', 'ss');
  assert.deepEqual(kernelState(kernel), before);

  await engine.networks.connect('a', { sandbox: 'ss', endpoint: { gatewayPriority: -1, interfaceName: 'lan' } });
  assert.deepEqual(via(), ['10.2.0.1'], 'the priority comes before the name');
  await engine.networks.disconnect('b', 'ss');
  assert.deepEqual(via(), ['10.1.0.1']);
  assert.equal(
    (await engine.networks.connect('b', { sandbox: 'ss', endpoint: {} })).value.interfaceName,
    'eth0',
    'the lowest free number',
  );
  await engine.networks.disconnect('a', 'ss');
  await engine.networks.disconnect('b', 'ss');
  assert.deepEqual(via(), []);
});

test("what cannot be connected is refused with Docker's texts, and nothing has changed", async () => {
  await using bench = await start();
  const { engine, kernel, store, ipam } = bench;
  await engine.networks.create({ name: 'fixed', pools: [{ subnet: '192.168.7.0/24' }] });
  await engine.networks.create({ name: 'other', pools: [{ subnet: '192.168.8.0/24' }] });
  await engine.networks.create({ name: 'auto' });
  await engine.sandboxes.create({
    name: 'one',
    networks: [{ network: 'fixed', endpoint: { ipv4: '192.168.7.10', mac: '02:00:00:00:00:01' } }],
  });
  await engine.sandboxes.create({ name: 'two', networks: [] });
  const before = { kernel: kernelState(kernel), rows: await rows(store), ipam: usage(ipam) };
  const refused = async (work: Promise<unknown>, kind: string, message: string): Promise<void> => {
    await assert.rejects(work, { kind, message });
  };
  await refused(
    engine.networks.connect('fixed', { sandbox: 'two', endpoint: { ipv4: '192.168.7.10' } }),
    'conflict',
    'Address already in use: 192.168.7.10 is held by sandbox one',
  );
  await refused(
    engine.networks.connect('fixed', { sandbox: 'two', endpoint: { ipv4: '192.168.8.1' } }),
    'invalid',
    'invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 192.168.8.1',
  );
  await refused(
    engine.networks.connect('auto', { sandbox: 'two', endpoint: { ipv4: '172.18.0.9' } }),
    'invalid',
    'invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks with user configured subnets',
  );
  await refused(
    engine.networks.connect('bridge', { sandbox: 'two', endpoint: { ipv4: '172.17.0.9', aliases: ['x'] } }),
    'invalid',
    'invalid endpoint settings:\n* user specified IP address is supported on user defined networks only\n' +
      '* network-scoped alias is supported only for containers in user defined networks\n' +
      '* user specified IP address is supported only when connecting to networks with user configured subnets',
  );
  await refused(
    engine.networks.connect('fixed', { sandbox: 'one', endpoint: {} }),
    'forbidden',
    'endpoint with name one already exists in network fixed',
  );
  await refused(engine.networks.connect('nope', { sandbox: 'one', endpoint: {} }), 'not-found', 'network nope not found');
  await refused(engine.networks.connect('fixed', { sandbox: 'nope', endpoint: {} }), 'not-found', 'No such container: nope');
  await refused(
    engine.networks.connect('other', { sandbox: 'one', endpoint: { interfaceName: 'eth0' } }),
    'conflict',
    'Cannot connect one to network other: interface name eth0 is in use in the sandbox',
  );
  await refused(
    engine.networks.connect('other', { sandbox: 'one', endpoint: { mac: '02:00:00:00:00:01' } }),
    'conflict',
    'Cannot connect one to network other: MAC address 02:00:00:00:00:01 is in use in the sandbox',
  );
  await refused(
    engine.networks.connect('other', { sandbox: 'one', endpoint: { ipv6: '1.2.3.4' } }),
    'invalid',
    'invalid endpoint settings:\ninvalid IPv6 address: 1.2.3.4',
  );
  const { id } = engine.sandboxes.get('two');
  await refused(engine.networks.disconnect('fixed', 'two'), 'conflict', `container ${id} is not connected to network fixed`);
  await refused(
    engine.sandboxes.create({ name: 'one' }),
    'conflict',
    `Conflict. The container name "/one" is already in use by container "${engine.sandboxes.get('one').id}". ` +
      'You have to remove (or rename) that container to be able to reuse that name.',
  );
  await refused(
    engine.sandboxes.create({ name: 'x' }),
    'invalid',
    'Invalid container name (x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed',
  );
  await refused(
    engine.sandboxes.create({ name: 'three', networks: [{ network: 'nope' }] }),
    'not-found',
    'network nope not found',
  );
  await refused(
    engine.sandboxes.create({ adopt: { path: '/gone' }, networks: [] }),
    'not-found',
    'no network namespace at /gone',
  );
  assert.deepEqual({ kernel: kernelState(kernel), rows: await rows(store), ipam: usage(ipam) }, before);
});

test('a full network says what is full', async () => {
  await using bench = await start();
  const { engine } = bench;
  await engine.networks.create({ name: 'big', pools: [{ subnet: '10.0.0.0/16' }] });
  const batch = 100;
  for (let i = 0; i < 1023; i += batch) {
    await Promise.all(
      Array.from({ length: Math.min(batch, 1023 - i) }, (_, n) =>
        engine.sandboxes.create({ name: `s${i + n}`, networks: [{ network: 'big' }] }),
      ),
    );
  }
  assert.equal((await engine.status()).endpoints, 1023);
  await assert.rejects(engine.sandboxes.create({ name: 'last', networks: [{ network: 'big' }] }), {
    kind: 'exhausted',
    message: /^Cannot connect last to network big: it has 1023 endpoints, and no more fit: a Linux bridge has at most 1023 ports/,
  });
  assert.match((await engine.status()).warnings.join(), /^network big has 1023 of at most 1023 endpoints/);
  await engine.reset();
  assert.deepEqual([...bench.kernel.spaces.byPath.keys()], [HOST]);
});

test('twenty connects at once get twenty addresses and interfaces', async () => {
  await using bench = await start();
  const { engine } = bench;
  await engine.networks.create({ name: 'net', pools: [{ subnet: '10.0.0.0/24' }] });
  for (let i = 0; i < 20; i++) await engine.sandboxes.create({ name: `s${i}`, networks: [] });
  const made = await Promise.all(
    Array.from({ length: 20 }, (_, i) => engine.networks.connect('net', { sandbox: `s${i}`, endpoint: {} })),
  );
  assert.equal(new Set(made.map(({ value }) => value.ipv4)).size, 20);
  // The same sandbox twice at once: one wins.
  const twice = await Promise.allSettled([
    engine.networks.connect('bridge', { sandbox: 's0', endpoint: {} }),
    engine.networks.connect('bridge', { sandbox: 's0', endpoint: {} }),
  ]);
  assert.deepEqual(twice.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  // Everything apart again while the network is asked to go: it goes only when it is empty.
  const results = await Promise.allSettled([
    ...Array.from({ length: 20 }, (_, i) => engine.networks.disconnect('net', `s${i}`)),
    engine.networks.remove('net'),
  ]);
  assert.equal(results.slice(0, 20).filter(({ status }) => status === 'fulfilled').length, 20);
  assert.equal(results[20]?.status, 'rejected');
  await engine.networks.remove('net');
});

test('a namespace can be adopted by path and by pid; its own interfaces are left alone', async () => {
  await using bench = await start();
  const { engine, kernel } = bench;
  kernel.adopt('/run/netns/pod');
  kernel.spaces.get('/run/netns/pod').addLink({ name: 'eth0', kind: { type: 'dummy' }, up: true }, () => kernel.spaces.get(HOST));
  const { value } = await engine.sandboxes.create({ name: 'pod', adopt: { path: '/run/netns/pod' } });
  assert.equal(value.endpoints[0]?.interfaceName, 'eth1');
  assert.equal(value.netns.type, 'adopted');
  await assert.rejects(engine.sandboxes.create({ adopt: { pid: -1 } }), { kind: 'invalid' });
  await assert.rejects(engine.sandboxes.create({ adopt: { path: 'relative' } }), { kind: 'invalid' });
  // Another name of the host's own namespace.
  kernel.spaces.byPath.set('/proc/7/ns/net', kernel.spaces.get(HOST));
  const before = kernelState(kernel);
  await assert.rejects(engine.sandboxes.create({ adopt: { pid: 7 } }), {
    kind: 'invalid',
    message:
      /^cannot adopt \/proc\/7\/ns\/net: it is the host's own network namespace: attach the sandbox to network host instead$/,
  });
  assert.deepEqual(kernelState(kernel), before);
  await engine.sandboxes.remove('pod');
  assert.deepEqual([...kernel.spaces.get('/run/netns/pod').links.keys()].toSorted(), ['eth0', 'lo']);
});

test('who makes a sandbox for a process answers for it until the process is there', async () => {
  const world = newWorld();
  {
    await using bench = await start({ world });
    const { engine, processes } = bench;
    const creator = processes.start(50);
    const made = { creator, autoRemove: true, networks: [{ network: 'bridge' }] };
    await engine.sandboxes.create({ ...made, name: 'started' });
    await engine.sandboxes.setProcess('started', processes.start(51));
    await engine.sandboxes.create({ ...made, name: 'kept', autoRemove: false });
    await engine.sandboxes.create({ ...made, name: 'lost' });
    processes.end(50);
    await eventually(() => assert.deepEqual(namesOf(bench), ['started', 'kept']));
    assert.equal(engine.sandboxes.get('started').creator, undefined);
    assert.ok(!bench.events.some(({ action, attributes }) => action === 'die' && attributes['name'] === 'lost'));
    // The daemon is away when the other one ends.
    await engine.sandboxes.create({ ...made, creator: processes.start(52), name: 'away' });
  }
  world.processes.end(52);
  await using next = await start({ world });
  assert.deepEqual(namesOf(next), ['started', 'kept']);
});

const namesOf = ({ engine }: Bench): string[] => engine.sandboxes.list().map(({ name }) => name);

test('what has no interface takes neither a MAC address nor an interface name', async () => {
  await using bench = await start();
  for (const network of ['none', 'host']) {
    await assert.rejects(
      bench.engine.sandboxes.create({ networks: [{ network, endpoint: { mac: '02:00:00:00:00:01', interfaceName: 'x0' } }] }),
      {
        kind: 'invalid',
        message:
          'invalid endpoint settings:\n* conflicting options: mac-address and the network mode\n' +
          '* conflicting options: interface name and the network mode',
      },
    );
  }
});

test('a namespace is adopted once: the second is refused in words that name the first', async () => {
  await using bench = await start();
  const { engine, kernel } = bench;
  kernel.adopt('/run/netns/pod');
  await engine.sandboxes.create({ name: 'first', adopt: { path: '/run/netns/pod' } });
  const own = await engine.sandboxes.create({ name: 'own' });
  assert.ok(own.value.netns.type === 'own');
  const before = kernelState(kernel);
  for (const [path, name] of [
    ['/run/netns/pod', 'first'],
    [own.value.netns.path, 'own'],
  ] as const) {
    await assert.rejects(engine.sandboxes.create({ name: 'second', adopt: { path } }), {
      kind: 'conflict',
      message: `cannot adopt ${path}: it is the network namespace of sandbox ${name}: connect that one to networks, or remove it first`,
    });
  }
  assert.deepEqual(kernelState(kernel), before);
  await engine.sandboxes.remove('first');
  await engine.sandboxes.create({ name: 'second', adopt: { path: '/run/netns/pod' } });
});

test('a running process keeps its sandbox; force kills it; autoRemove ends with it', async () => {
  const world = newWorld();
  const bench = await start({ world });
  const { engine, processes } = bench;
  await engine.sandboxes.create({ name: 'job' });
  const set = await engine.sandboxes.setProcess('job', processes.start(7));
  assert.equal(set.process?.pid, 7);
  await assert.rejects(engine.sandboxes.remove('job'), {
    kind: 'conflict',
    message: 'cannot remove container "job": container is running: stop the container before removing or force remove',
  });
  await assert.rejects(engine.sandboxes.setProcess('job', processes.start(8)), { kind: 'conflict' });
  await engine.sandboxes.remove('job', { force: true });
  assert.equal(processes.running.has(7), false);

  await engine.sandboxes.create({ name: 'brief', autoRemove: true });
  await engine.sandboxes.setProcess('brief', processes.start(9));
  processes.end(9);
  await eventually(() => assert.throws(() => engine.sandboxes.get('brief')));
  assert.deepEqual(
    bench.events.filter(({ attributes }) => attributes['name'] === 'brief').map(({ action }) => action),
    ['create', 'start', 'die', 'destroy'],
  );

  await engine.sandboxes.create({ name: 'away', autoRemove: true });
  await engine.sandboxes.create({ name: 'stays' });
  await engine.sandboxes.setProcess('away', processes.start(10));
  await engine.sandboxes.setProcess('stays', processes.start(11));
  await bench[Symbol.asyncDispose]();
  processes.end(10);
  processes.end(11);
  await using next = await start({ world });
  assert.deepEqual(
    next.engine.sandboxes.list().map(({ name }) => name),
    ['stays'],
  );
});

test('IPv6: a ULA subnet, an address in it and a way out', async () => {
  await using bench = await start();
  const { engine } = bench;
  const { value: network } = await engine.networks.create({ name: 'six', ipv6: true });
  const pool = network.pools.find(({ family }) => family === 6);
  assert.match(pool?.subnet ?? '', /^fd.*\/64$/);
  const { value } = await engine.sandboxes.create({ name: 'ss', networks: [{ network: 'six' }] });
  assert.match(value.endpoints[0]?.ipv6 ?? '', /^fd.*::2\/64$/);
  assert.deepEqual(new Set(defaults(bench, 'ss').map(({ via }) => via)), new Set(['172.18.0.1', pool?.gateway]));
  assert.match(bench.kernel.files.get(`/exec/sandboxes/${value.id}/hosts`) ?? '', /\nfd.*::2\t/);
});
