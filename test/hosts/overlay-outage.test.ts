// test-timeout: 300 s
/** Overlay networks while daemons are killed, the store is silent or gone, and somebody takes away by hand what they made. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDaemon } from '../support/daemon.ts';
import { NO_ETCD } from '../support/etcd.ts';
import {
  allReach,
  createHosts,
  createOverlay,
  type Host,
  outer,
  pinging,
  sandboxOn,
  startStore,
  STORE_FLAGS,
  until,
} from './lab.ts';

/** Milliseconds in which a dead host is given up, and some. */
const LEASE_MS = 120_000;

/** Namespace of the only overlay network of a host. */
async function segmentOf({ daemon }: Host): Promise<string> {
  const { stdout } = await daemon.inside('sh', '-c', `ls -d ${daemon.directory}/exec/netns/1-*`);
  return stdout.trim();
}

/** What leads to other hosts, as ip(8) and bridge(8) show it. */
async function entriesOf(host: Host): Promise<readonly string[]> {
  const words = 'ip neigh show dev vxlan0; bridge fdb show dev vxlan0';
  const { stdout } = await host.daemon.inside('nsenter', `--net=${await segmentOf(host)}`, 'sh', '-c', words);
  return stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => / lladdr | dst | static$/.test(line))
    .toSorted();
}

test('nobody’s absence is noticed by packets, and damage is put right', { skip: NO_ETCD }, async (t) => {
  await using world = await createHosts(3, () => STORE_FLAGS);
  await using store = await startStore();
  const { hosts } = world;
  const [h1, h2, h3] = hosts;
  assert.ok(h1 && h2 && h3);
  await Promise.all(hosts.map(({ daemon }) => daemon.start()));
  await createOverlay(h1, 'ov_net1');
  for (const { daemon, n } of hosts)
    await until(`h${n} has the network`, async () => (await daemon.request('GET', '/networks/ov_net1')).status === 200);
  const sandboxes = await Promise.all([h1, h2].map((host) => sandboxOn(host, 'ov_net1')));
  await allReach([h1, h2], sandboxes);
  const [s1, s2] = sandboxes;
  assert.ok(s1 && s2);
  const before = await entriesOf(h1);
  assert.equal(before.length, 3, before.join('\n'));

  await t.test('a host without endpoints has nothing of it', async () => {
    assert.equal((await h3.daemon.inside('sh', '-c', `ls ${h3.daemon.directory}/exec/netns 2>/dev/null`)).stdout, '');
    assert.doesNotMatch((await h3.daemon.inside('ss', '-lun')).stdout, /:4789/);
  });

  await t.test('a daemon that is stopped, or killed, and comes back', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const flow = await pinging(h1, s1, s2);
      for (const { daemon } of [h2, h1]) {
        await daemon.stop(signal);
        await sleep(300);
        await daemon.start();
      }
      await allReach([h1, h2], sandboxes);
      const { sent, lost } = await flow.finish();
      t.diagnostic(`${signal}: ${lost} of ${sent} packets lost`);
      assert.equal(lost, 0);
      assert.deepEqual(await entriesOf(h1), before);
    }
  });

  await t.test('a store that is silent, and daemons that are killed meanwhile', async () => {
    const flow = await pinging(h1, s1, s2);
    await store.freeze();
    await sleep(2_000);
    await h1.daemon.stop('SIGKILL');
    await h1.daemon.start();
    // What it had in its kernel and in its own store is as it was.
    assert.deepEqual(await entriesOf(h1), before);
    const reconciled = await h1.daemon.request('POST', '/moor/reconcile');
    assert.equal(reconciled.status, 200, reconciled.text);
    assert.deepEqual(await entriesOf(h1), before);
    store.thaw();
    await sleep(500);
    const { sent, lost } = await flow.finish();
    assert.deepEqual({ sent, lost }, { sent, lost: 0 });
  });

  await t.test('entries and devices that somebody takes away', async () => {
    const segment = await segmentOf(h1);
    for (const damage of [
      `ip neigh del ${s2.address} dev vxlan0`,
      'ip neigh flush dev vxlan0 nud permanent',
      `bridge fdb del $(bridge fdb show dev vxlan0 | grep -o '^.* dst ${outer(2)}' | cut -d' ' -f1) dev vxlan0 dst ${outer(2)} self`,
      'bridge link set dev vxlan0 flood on learning on; ip link set vxlan0 down',
      'ip link del vxlan0',
      'ip link del br0',
      'ip -o link show type veth | sed "s/.*: \\(veth[^@]*\\)@.*/\\1/" | xargs -n1 ip link del',
    ]) {
      const { code, stderr } = await h1.daemon.inside('nsenter', `--net=${segment}`, 'sh', '-c', damage);
      assert.equal(code, 0, `${damage}: ${stderr}`);
      await until(`h1 is as before: ${damage}`, async () => (await entriesOf(h1)).join() === before.join());
      await allReach([h1, h2], sandboxes);
    }
    // The namespace itself.
    await h1.daemon.inside('umount', segment);
    await until('the namespace is back', async () => (await h1.daemon.request('POST', '/moor/reconcile')).status === 200);
    await until('h1 is as before', async () => (await entriesOf(h1)).join() === before.join());
    await allReach([h1, h2], sandboxes);
  });

  await t.test('entries that nobody told of are taken away', async () => {
    const segment = await segmentOf(h1);
    const alien = `ip neigh add 10.0.0.99 lladdr 02:42:0a:00:00:63 dev vxlan0 nud permanent; bridge fdb add 02:42:0a:00:00:63 dev vxlan0 dst ${outer(3)}`;
    await h1.daemon.inside('nsenter', `--net=${segment}`, 'sh', '-c', alien);
    await h1.daemon.request('POST', '/moor/reconcile');
    await until('they are gone', async () => (await entriesOf(h1)).join() === before.join());
  });

  await t.test('a dead host’s endpoints are gone everywhere with its lease', async () => {
    await h2.daemon.stop('SIGKILL');
    await until('h1 knows no endpoint of h2', async () => (await entriesOf(h1)).length === 0, LEASE_MS);
    await h2.daemon.start();
    await until('and knows it again', async () => (await entriesOf(h1)).join() === before.join());
    await allReach([h1, h2], sandboxes);
  });
});

test('without a cluster it is refused, and it is said what to do', async () => {
  await using daemon = await startDaemon();
  const { code, stderr } = await daemon.docker('network', 'create', '--driver', 'overlay', 'ov_net1');
  assert.notEqual(code, 0);
  assert.match(stderr, /this host is in no cluster: start moord with --cluster-store etcd:\/\/HOST:2379/);
});
