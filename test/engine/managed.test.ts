/** What the engine does for the service of containers: sandboxes with an id and a name given, whose life is the service's matter. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newId } from '../../src/base/ids.ts';
import { eventually, newWorld, start } from './setup.ts';

const IFNAME = 'com.docker.network.endpoint.ifname';
const SYSCTLS = 'com.docker.network.endpoint.sysctls';

test('a managed sandbox has the id, the name and the files that it was given, and tells nothing as a container', async () => {
  await using bench = await start();
  const { engine, kernel } = bench;
  const id = newId();
  const held = engine.sandboxes.reserveName('web', id);
  const { value } = await engine.sandboxes.create({
    id,
    name: 'web',
    hostname: 'www',
    domainname: 'example.org',
    dns: { servers: ['192.0.2.9'], search: ['lan'], options: ['ndots:2'] },
    extraHosts: [{ name: 'db', address: '10.0.0.9' }],
    managed: true,
  });
  assert.equal(value.id, id);
  const directory = `/exec/sandboxes/${id}`;
  assert.match(kernel.files.get(`${directory}/resolv.conf`) ?? '', /^nameserver 192\.0\.2\.9\nsearch lan\noptions ndots:2\n\n#/);
  assert.match(kernel.files.get(`${directory}/hosts`) ?? '', /\n10\.0\.0\.9\tdb\n172\.\d+\.0\.2\twww\.example\.org www web\n$/);
  await assert.rejects(engine.sandboxes.remove(id, { force: true }), { kind: 'conflict' });
  await engine.sandboxes.remove(id, { managed: true });
  assert.deepEqual(
    bench.events.filter(({ type }) => type === 'container'),
    [],
  );
  await assert.rejects(engine.sandboxes.create({ name: 'web' }), {
    kind: 'conflict',
    message: new RegExp(`"/web" is already in use by container "${id}"`),
  });
  held.release();
  await engine.sandboxes.create({ name: 'web' });
});

test('a rename reaches the hosts file, and the old name is free without its address', async () => {
  await using bench = await start();
  const { engine, kernel } = bench;
  const id = newId();
  engine.sandboxes.reserveName('old', id);
  const { value } = await engine.sandboxes.create({ id, name: 'old', managed: true });
  engine.sandboxes.reserveName('new', id);
  await engine.sandboxes.rename('old', 'new');
  assert.equal(engine.sandboxes.get('new').id, id);
  assert.throws(() => engine.sandboxes.get('old'), { kind: 'not-found' });
  assert.match(kernel.files.get(`/exec/sandboxes/${id}/hosts`) ?? '', / new\n$/);
  const other = newId();
  await assert.rejects(engine.sandboxes.create({ id: other, name: 'old', managed: true }), { kind: 'conflict' });
  const second = await engine.sandboxes.create({ managed: true });
  assert.notEqual(second.value.endpoints[0]?.ipv4, value.endpoints[0]?.ipv4);
});

test('names and sysctls of an interface by driver option', async () => {
  await using bench = await start();
  const { engine, kernel } = bench;
  await engine.networks.create({ name: 'net1' });
  const options = { [IFNAME]: 'lan0', [SYSCTLS]: 'net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.forwarding=0' };
  const { value } = await engine.sandboxes.create({ networks: [{ network: 'net1', endpoint: { options } }] });
  assert.equal(value.endpoints[0]?.interfaceName, 'lan0');
  assert.equal(value.endpoints[0]?.requested.interfaceName, 'lan0');
  assert.ok(value.netns.type === 'own');
  const { sysctls } = kernel.spaces.get(value.netns.path);
  assert.equal(sysctls.get('net/ipv4/conf/lan0/log_martians'), '1');
  for (const text of ['net.ipv4.conf.eth0.log_martians=1', 'kernel.x.y.IFNAME.z=1', 'net.ipv4.conf.IFNAME./../x=1', 'nothing']) {
    assert.throws(
      () => engine.sandboxes.check({ networks: [{ network: 'net1', endpoint: { options: { [SYSCTLS]: text } } }] }),
      { kind: 'invalid', message: /sysctl/ },
      text,
    );
  }
});

test('a check refuses what create would, and takes nothing', async () => {
  await using bench = await start();
  const { engine } = bench;
  await engine.networks.create({ name: 'auto' });
  const check = (network: string, ipv4?: string): void =>
    engine.sandboxes.check({ networks: [{ network, endpoint: ipv4 === undefined ? {} : { ipv4 } }] });
  check('auto');
  assert.throws(() => check('nowhere'), { kind: 'not-found', message: 'network nowhere not found' });
  assert.throws(() => check('auto', '192.168.7.10'), { kind: 'invalid', message: /networks with user configured subnets/ });
  assert.deepEqual(engine.sandboxes.list(), []);
});

test('a managed sandbox is there after a restart, and so is what was published', async () => {
  const world = newWorld();
  const id = newId();
  {
    await using bench = await start({ world });
    await bench.engine.sandboxes.create({ id, name: 'web', managed: true });
    bench.engine.publish({ type: 'volume', action: 'create', actorId: 'data', attributes: { driver: 'local' }, time: 1 });
    await eventually(() => assert.equal(bench.events.at(-1)?.actorId, 'data'));
  }
  await using bench = await start({ world });
  assert.equal(bench.engine.sandboxes.get('web').managed, true);
});
