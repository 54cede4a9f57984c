/** Containers on networks: at start, while they run, while they do not. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { eventually, newWorld, spec, start } from './setup.ts';

test('several networks with everything that can be said of an attachment; the same again after a restart', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers, engine } = bench;
  await engine.networks.create({ name: 'front', pools: [{ subnet: '10.1.0.0/24' }] });
  await engine.networks.create({ name: 'back', ipv6: true, pools: [{ subnet: '10.2.0.0/24' }, { subnet: 'fd00:2::/64' }] });
  const { id } = (
    await containers.create(
      spec({
        name: 'web',
        host: { NetworkMode: 'front' },
        networks: [
          { network: 'back', endpoint: { ipv4: '10.2.0.9', ipv6: 'fd00:2::9', mac: '02:00:00:00:00:09', gatewayPriority: 7 } },
          { network: 'front', endpoint: { aliases: ['www'], options: { 'com.docker.network.endpoint.ifname': 'lan0' } } },
        ],
      }),
    )
  ).container;
  const view = (): unknown =>
    engine.sandboxes
      .get(id)
      .endpoints.map(({ interfaceName, requested, aliases, gatewayPriority }) => [
        interfaceName,
        requested,
        aliases,
        gatewayPriority,
      ]);
  await containers.start('web');
  const first = view();
  assert.deepEqual(first, [
    ['lan0', { interfaceName: 'lan0' }, ['www'], 0],
    ['eth0', { ipv4: '10.2.0.9', ipv6: 'fd00:2::9', mac: '02:00:00:00:00:09' }, [], 7],
  ]);
  const { routes } = world.kernel.spaces.get(`/exec/netns/${id.slice(0, 12)}`);
  assert.deepEqual(
    // Tables other than the main one are for answers on a network that is not the way out.
    routes.filter(({ destination, table }) => destination === '0.0.0.0/0' && table === undefined).map(({ device }) => device),
    ['eth0'],
  );
  await containers.restart('web', { timeout: 0 });
  assert.deepEqual(view(), first);
  assert.ok(bench.actions().includes('container restart'));
});

test('connect and disconnect while it runs, and what of it is still so after a restart', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers, engine } = bench;
  await engine.networks.create({ name: 'my_net2', pools: [{ subnet: '192.168.7.0/24' }] });
  await containers.create(spec({ name: 'web' }));
  await containers.start('web');
  await containers.connect('my_net2', 'web', { ipv4: '192.168.7.10' });
  assert.deepEqual(
    engine.sandboxes.get('web').endpoints.map(({ interfaceName }) => interfaceName),
    ['eth0', 'eth1'],
  );
  await assert.rejects(containers.connect('my_net2', 'web', {}), {
    kind: 'forbidden',
    message: 'endpoint with name web already exists in network my_net2',
  });
  await containers.disconnect('bridge', 'web', { force: false });
  await containers.restart('web', { timeout: 0 });
  assert.deepEqual(
    engine.sandboxes.get('web').endpoints.map(({ ipv4 }) => ipv4),
    ['192.168.7.10/24'],
  );
  // Through the engine's own door the record follows as well.
  await engine.networks.connect('bridge', { sandbox: 'web', endpoint: {} });
  await containers.stop('web', { timeout: 0 });
  assert.deepEqual(
    containers.get('web').networks.map(({ network }) => network),
    ['my_net2', 'bridge'],
  );
});

test('connect and disconnect while it does not run: checked alike, done at the start', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers, engine } = bench;
  await engine.networks.create({ name: 'my_net1' });
  await engine.networks.create({ name: 'my_net2', pools: [{ subnet: '192.168.7.0/24' }] });
  const { id } = (await containers.create(spec({ name: 'web' }))).container;
  await assert.rejects(containers.connect('my_net1', 'web', { ipv4: '192.168.7.10' }), {
    kind: 'invalid',
    message: /user specified IP address is supported only when connecting to networks with user configured subnets$/,
  });
  await assert.rejects(containers.connect('nowhere', 'web', {}), { kind: 'not-found', message: 'network nowhere not found' });
  await containers.connect('my_net2', 'web', { ipv4: '192.168.7.10' });
  await assert.rejects(containers.connect('my_net2', 'web', {}), { kind: 'forbidden' });
  await assert.rejects(containers.disconnect('my_net1', 'web', { force: false }), {
    kind: 'conflict',
    message: `container ${id} is not connected to network my_net1`,
  });
  await containers.disconnect('bridge', 'web', { force: false });
  await containers.start('web');
  assert.deepEqual(
    engine.sandboxes.get('web').endpoints.map(({ ipv4 }) => ipv4),
    ['192.168.7.10/24'],
  );
});

test('a network that went while the container did not run keeps it from starting until it is disconnected', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers, engine } = bench;
  for (const name of ['my_net1', 'my_net2', 'my_net3']) await engine.networks.create({ name });
  const { id } = (await containers.create(spec({ name: 'web', host: { NetworkMode: 'my_net1' } }))).container;
  await containers.connect('my_net2', 'web', {});
  for (const name of ['my_net1', 'my_net2']) await engine.networks.remove(name);
  await assert.rejects(containers.start('web'), { kind: 'not-found', message: 'network my_net1 not found' });
  await containers.connect('my_net3', 'web', {});
  for (const name of ['my_net1', 'my_net2']) await containers.disconnect(name, 'web', { force: false });
  await assert.rejects(containers.disconnect('my_net2', 'web', { force: false }), { message: 'network my_net2 not found' });
  await assert.rejects(containers.disconnect('my_net2', 'web', { force: true }), {
    message: `container ${id} is not connected to network my_net2`,
  });
  await containers.start('web');
  assert.deepEqual(
    engine.sandboxes.get('web').endpoints.map(({ networkId }) => networkId),
    [engine.networks.get('my_net3').id],
  );
});

test('on the host network: no namespace, the host files in a copy, no other network', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  const { id } = (await containers.create(spec({ name: 'web', host: { NetworkMode: 'host', ExtraHosts: ['db:10.0.0.9'] } })))
    .container;
  await containers.start('web');
  const request = world.runtime.containers.get(id)?.request;
  assert.equal(request?.netns, null);
  assert.match(readFileSync(request.files['/etc/hosts'] ?? '', 'utf8'), /\n10\.0\.0\.9\tdb\n$/);
  await assert.rejects(containers.connect('bridge', 'web', {}), { kind: 'invalid', message: /sharing network namespace/ });
  await assert.rejects(containers.disconnect('host', 'web', { force: false }), { kind: 'invalid', message: /host network/ });
  await containers.stop('web', { timeout: 0 });
  assert.throws(() => readFileSync(request.files['/etc/hosts'] ?? ''));
});

test('--link on the default network: lines of the hosts file, with the address that the other one has now', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers, engine } = bench;
  const other = (await containers.create(spec({ name: 'db', config: { Hostname: 'dbhost' } }))).container;
  const { id } = (await containers.create(spec({ name: 'web', host: { Links: ['db:mysql', '/db:/web/second', 'db'] } })))
    .container;
  await assert.rejects(containers.start('web'), {
    kind: 'conflict',
    message: 'Cannot link to a non running container: /db AS /web/mysql',
  });
  await containers.start('db');
  await containers.start('web');
  const address = engine.sandboxes.get(other.id).endpoints[0]?.ipv4?.split('/')[0];
  const lines = world.kernel.files.get(`/exec/sandboxes/${id}/hosts`)?.split('\n') ?? [];
  assert.deepEqual(
    lines.filter((line) => line.startsWith(`${address}\t`)),
    [`${address}\tmysql dbhost db`, `${address}\tsecond dbhost db`, `${address}\tdb dbhost`],
  );
  await engine.networks.create({ name: 'front' });
  await containers.connect('front', 'db', {});
  await containers.disconnect('bridge', 'db', { force: false });
  await assert.rejects(containers.restart('web', { timeout: 0 }), {
    kind: 'invalid',
    message: 'Cannot link to /db, as it does not belong to the default network',
  });
});

test('links of an attachment are kept for the next start', async () => {
  using world = newWorld();
  await using bench = await start(world);
  await bench.engine.networks.create({ name: 'front' });
  await bench.containers.create(
    spec({
      name: 'web',
      host: { NetworkMode: 'front', Links: ['nobody:x'] },
      networks: [{ network: 'front', endpoint: { links: ['nobody:x'] } }],
    }),
  );
  await bench.containers.start('web');
  await bench.containers.restart('web', { timeout: 0 });
  assert.deepEqual(bench.engine.sandboxes.get('web').endpoints[0]?.links, ['nobody:x']);
});

test('host-gateway is the address of the default bridge', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { id } = (await bench.containers.create(spec({ host: { ExtraHosts: ['host.docker.internal:host-gateway'] } }))).container;
  await bench.containers.start(id);
  const gateway = bench.engine.networks.get('bridge').pools[0]?.gateway;
  assert.ok(world.kernel.files.get(`/exec/sandboxes/${id}/hosts`)?.includes(`\n${gateway}\thost.docker.internal\n`));
});

test('a sandbox that is no container is connected by the same call', async () => {
  using world = newWorld();
  await using bench = await start(world);
  await bench.engine.networks.create({ name: 'net1' });
  await bench.engine.sandboxes.create({ name: 'bare' });
  await bench.containers.connect('net1', 'bare', {});
  await eventually(() => assert.equal(bench.engine.sandboxes.get('bare').endpoints.length, 2));
  await bench.containers.disconnect('net1', 'bare', { force: false });
  assert.equal(bench.engine.sandboxes.get('bare').endpoints.length, 1);
});
