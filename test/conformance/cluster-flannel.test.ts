// test-timeout: 120 s
/** Networks in flannel's layout on a real etcd. What a flanneld would write is written through etcd's own gateway, and what we write is read there. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootClock } from '../../src/base/boot-clock.ts';
import { silentLogger, systemClock } from '../../src/base/clock.ts';
import { type ErrorKind, MoorError } from '../../src/base/errors.ts';
import type { Mac } from '../../src/base/mac.ts';
import { subnetEnv } from '../../src/drivers/routed/subnet-env.ts';
import { realSleep } from '../../src/cluster/time.ts';
import type { Store } from '../../src/contracts/store.ts';
import { openEtcdStore } from '../../src/store/etcd/store.ts';
import { base64, EtcdServer, NO_ETCD } from '../support/etcd.ts';
import { type ClusterWorld, routed, TestNode, until } from './cluster-world.ts';

const PORT = 23_830;
const server = new EtcdServer(PORT);
before(async () => {
  if (NO_ETCD === false) await server.start();
});
after(() => server[Symbol.asyncDispose]());

const open = (prefix: string): Promise<Store> =>
  openEtcdStore({ endpoints: [server.endpoint], prefix, logger: silentLogger, clock: bootClock });

interface Kv {
  readonly key: string;
  readonly value: string;
  readonly lease: string;
}

/** Below the prefix, as etcd itself says it. */
async function raw(prefix: string): Promise<readonly Kv[]> {
  const end = `${prefix}0`;
  const { kvs = [] } = (await server.gateway('kv/range', { key: base64(`${prefix}/`), range_end: base64(end) })) as {
    kvs?: readonly { key: string; value: string; lease?: string }[];
  };
  const plain = (text: string): string => Buffer.from(text, 'base64').toString();
  return kvs.map(({ key, value, lease = '0' }) => ({ key: plain(key).slice(prefix.length + 1), value: plain(value), lease }));
}

const erase = (key: string): Promise<unknown> => server.gateway('kv/deleterange', { key: base64(key) });

let worlds = 0;

function check(
  title: string,
  body: (lab: {
    world: ClusterWorld;
    prefix: string;
    start: (number: number, mac?: string) => Promise<TestNode>;
  }) => Promise<void>,
): void {
  test(`flannel: ${title}`, { skip: NO_ETCD }, async () => {
    await using cleanup = new AsyncDisposableStack();
    const number = ++worlds;
    const prefix = `/coreos.com/network${number}`;
    const store = cleanup.use(await open(`/moor/${number}`));
    const world: ClusterWorld = {
      clock: systemClock,
      sleep: realSleep,
      ttlMs: 10_000,
      store,
      line: async () => {
        const line = cleanup.use(await open(`/moor/${number}`));
        return { store: line, cut: () => {}, mend: () => {}, kill: async () => line[Symbol.asyncDispose]() };
      },
      pass: (ms) => sleep(ms),
      compact: () => server.compact(),
      [Symbol.asyncDispose]: async () => {},
    };
    const start = async (which: number, mac?: string): Promise<TestNode> => {
      const node = new TestNode(world, which);
      node.part = { inUse: false, ...(mac === undefined ? {} : { vtep4: mac as Mac }) };
      await node.start({ openPrefix: open });
      cleanup.defer(() => node.cluster[Symbol.asyncDispose]());
      return node;
    };
    await body({ world, prefix, start });
  });
}

const isKind = (kind: ErrorKind, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MoorError && error.kind === kind && text.test(error.message), String(error));
  return true;
};

const CONFIG = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}';
const lease = (ip: string, mac: string): string =>
  `{"PublicIP":"${ip}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${mac}"}}`;

check('Moorline and flanneld are one network', async ({ world, prefix, start }) => {
  await server.put(`${prefix}/config`, CONFIG);
  await server.put(`${prefix}/subnets/10.244.7.0-24`, lease('203.0.113.7', '0e:00:00:00:00:07'));
  const a = await start(1, '0e:00:00:00:00:01');
  const made = await a.cluster.create(routed('pods', '10.244.0.0/16', { 'flannel-prefix': prefix }));
  assert.notEqual(made.network.pools[0]?.subnet, '10.244.7.0/24');
  const b = await start(2, '0e:00:00:00:00:02');
  await until(
    world,
    () => a.peers().length === 2 && b.peers().length === 2,
    () => [a.peers(), b.peers(), b.warnings],
  );
  assert.deepEqual(a.network()?.peers, [
    { vtep4: '0e:00:00:00:00:07', node: '203.0.113.7', address: '203.0.113.7', own: false, subnets: ['10.244.7.0/24'] },
    { vtep4: '0e:00:00:00:00:02', node: 'n2', address: '192.0.2.2', own: true, subnets: [b.subnet()] },
  ]);
  // What a flanneld sees.
  const ours = (await raw(prefix)).find(({ value }) => value.includes('192.0.2.1'));
  assert.equal(ours?.key, `subnets/${a.subnet()?.replace('/', '-')}`);
  assert.equal(ours.value, lease('192.0.2.1', '0e:00:00:00:00:01'));
  const { TTL, grantedTTL } = await server.gateway('lease/timetolive', { ID: ours.lease });
  assert.equal(Number(grantedTTL), 24 * 3600);
  assert.ok(Number(TTL) > 23 * 3600);
  assert.equal(
    subnetEnv(a.network()!.network, { mtu: 1450, masquerade: true }),
    `FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=${a.subnet()?.replace('.0/', '.1/')}\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n`,
  );
  // The flanneld starts again on other hardware, and goes at last.
  await server.put(`${prefix}/subnets/10.244.7.0-24`, lease('203.0.113.77', '0e:00:00:00:00:78'));
  await until(world, () => b.peers().includes('203.0.113.77 203.0.113.77 10.244.7.0/24'));
  assert.equal(b.peers().length, 2);
  await erase(`${prefix}/subnets/10.244.7.0-24`);
  await until(world, () => a.peers().length === 1 && b.peers().length === 1);
});

check(
  'a restart gets the same subnet, with what was kept and without; who leaves leaves nothing',
  async ({ world, prefix, start }) => {
    await server.put(`${prefix}/config`, CONFIG);
    const a = await start(1, '0e:00:00:00:00:01');
    await a.cluster.create(routed('pods', '10.244.0.0/16', { 'flannel-prefix': prefix }));
    const subnet = a.subnet();
    for (const forget of [false, true]) {
      await a.stop();
      if (forget) a.kept = null;
      await a.start({ openPrefix: open });
      await until(world, () => a.subnet() === subnet);
    }
    // Its entry is taken away: made again. Spoiled: likewise.
    const key = `${prefix}/subnets/${subnet?.replace('/', '-')}`;
    const there = async (): Promise<boolean> =>
      (await raw(prefix)).some(({ value }) => value === lease('192.0.2.1', '0e:00:00:00:00:01'));
    await erase(key);
    await until(world, there);
    await server.put(key, Buffer.from([0xff, 0xfe]));
    await until(world, there);
    assert.equal(a.subnet(), subnet);
    const b = await start(2, '0e:00:00:00:00:02');
    await until(world, () => b.peers().length === 1);
    await b.cluster.remove(b.network()!.network.id);
    await until(world, async () => (await raw(prefix)).length === 1);
    await until(world, () => a.cluster.networks().length === 0);
  },
);

check('a reservation is taken, and stays one', async ({ world, prefix, start }) => {
  await server.put(`${prefix}/config`, CONFIG);
  const key = 'subnets/10.244.33.0-24';
  await server.put(`${prefix}/${key}`, '{"PublicIP":"192.0.2.1"}');
  const a = await start(1, '0e:00:00:00:00:01');
  await a.cluster.create(routed('pods', '10.244.0.0/16', { 'flannel-prefix': prefix }));
  assert.equal(a.subnet(), '10.244.33.0/24');
  const entry = async (): Promise<Kv | undefined> => (await raw(prefix)).find((one) => one.key === key);
  const reserved = { key, value: lease('192.0.2.1', '0e:00:00:00:00:01'), lease: '0' };
  assert.deepEqual(await entry(), reserved);
  await a.stop();
  await a.start({ openPrefix: open });
  await until(world, () => a.subnet() === '10.244.33.0/24');
  await a.cluster.leave();
  assert.deepEqual(await entry(), reserved);
  // And one that is made of a lease, as flannel's documentation says.
  const b = await start(2, '0e:00:00:00:00:02');
  await until(world, () => b.subnet() !== undefined);
  const own = async (): Promise<Kv | undefined> => (await raw(prefix)).find(({ value }) => value.includes('192.0.2.2'));
  const leased = await own();
  assert.notEqual(leased?.lease, '0');
  await server.put(`${prefix}/${leased?.key}`, leased?.value ?? '');
  await world.pass(500);
  await b.cluster.leave();
  assert.deepEqual(await own(), { ...leased, lease: '0' });
});

check('what no flanneld writes makes no peer, and one line in the log each', async ({ world, prefix, start }) => {
  await server.put(`${prefix}/config`, CONFIG);
  const a = await start(1, '0e:00:00:00:00:01');
  await a.cluster.create(routed('pods', '10.244.0.0/16', { 'flannel-prefix': prefix }));
  const good = lease('203.0.113.7', '0e:00:00:00:00:07');
  const bad: readonly (readonly [string, string | Buffer])[] = [
    ['subnets/10.244.60.0-24', good.slice(0, 40)],
    ['subnets/10.244.61.0-24', Buffer.from([0, 0xff, 0x80])],
    ['subnets/10.245.62.0-24', good],
    ['subnets/10.244.63.0-25', good],
    ['subnets/10.244.64.1-24', good],
    ['subnets/10.244.65.0-24', good.replace('203.0.113.7', '127.0.0.1')],
    ['subnets/10.244.66.0-24', good.replace('203.0.113.7', '300.0.113.7')],
    ['subnets/10.244.67.0-24', good.replace('0e:00', '01:00')],
    ['subnets/10.244.68.0-24', good.replaceAll('vxlan', 'host-gw')],
    ['subnets/10.244.69.0-24', '[]'],
    ['elsewhere', good],
  ];
  for (const [key, value] of bad) await server.put(`${prefix}/${key}`, value);
  await server.put(`${prefix}/subnets/10.244.7.0-24`, good);
  await until(world, () => a.peers().length === 1);
  assert.deepEqual(a.peers(), ['203.0.113.7 203.0.113.7 10.244.7.0/24']);
  assert.deepEqual(a.warnings.map(({ key }) => String(key)).sort(), bad.map(([key]) => `${prefix}/${key}`).sort());
});

check('a network that is not what was asked for is refused, and nothing stays of it', async ({ world, prefix, start }) => {
  const a = await start(1);
  const ask = (range: string, backend = 'vxlan') =>
    a.cluster.create(routed('pods', range, { 'flannel-prefix': prefix, backend }));
  await assert.rejects(
    ask('10.244.0.0/16'),
    isKind('not-found', /there is no flannel network at \/coreos\.com\/network\d+\/config/),
  );
  await server.put(`${prefix}/config`, CONFIG);
  await assert.rejects(ask('10.7.0.0/16'), isKind('invalid', /it is 10\.244\.0\.0\/16, network pods is 10\.7\.0\.0\/16/));
  await assert.rejects(ask('10.244.0.0/16', 'udp'), isKind('invalid', /its backend is vxlan, that of network pods is udp/));
  await assert.rejects(ask('10.244.0.0/16'), isKind('invalid', /its VTEP's MAC address is not known/));
  assert.deepEqual(a.cluster.networks(), []);
  assert.deepEqual(
    (await raw(prefix)).map(({ key }) => key),
    ['config'],
  );
  assert.deepEqual(
    (await world.store.list('')).entries.map(({ key }) => key),
    ['nodes/n1'],
  );
});
