// test-timeout: 180 s
/** What somebody takes away by hand, or a cable that is pulled, is put right: devices, routes, neighbours, the tunnel. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_ETCD } from '../support/etcd.ts';
import { allReach, createHosts, createNetwork, sandboxOn, startStore, STORE_FLAGS, until } from './lab.ts';

const DAMAGE = {
  'host-gw': ['ip route flush root 10.244.0.0/16 proto static', 'ip link set eth1 down; ip link set eth1 up'],
  vxlan: ['ip link del moor-vx1', 'ip route flush root 10.244.0.0/16 proto static', 'ip link set moor-vx1 down'],
  udp: ['ip link del moor-udp0', 'ip link set moor-udp0 down', 'ip route flush root 10.244.0.0/16 proto static'],
} as const;

test('damage on one of two hosts', { skip: NO_ETCD }, async (t) => {
  await using world = await createHosts(2, () => STORE_FLAGS);
  await using store = await startStore();
  assert.ok(store);
  const { hosts } = world;
  const [h1, h2] = hosts;
  assert.ok(h1 && h2);
  await Promise.all(hosts.map(({ daemon }) => daemon.start()));
  for (const backend of ['vxlan', 'udp', 'host-gw'] as const) {
    await t.test(backend, async () => {
      await createNetwork(h1, 'pods', backend);
      await until('the network is there', async () => (await h2.daemon.request('GET', '/networks/pods')).status === 200);
      const sandboxes = await Promise.all(hosts.map((host) => sandboxOn(host, 'pods')));
      await allReach(hosts, sandboxes);
      for (const damage of DAMAGE[backend]) {
        const { code, stderr } = await h1.daemon.inside('sh', '-c', damage);
        assert.equal(code, 0, `${damage}: ${stderr}`);
        await allReach(hosts, sandboxes);
      }
      for (const [i, { daemon }] of hosts.entries()) await daemon.request('DELETE', `/moor/sandboxes/${sandboxes[i]?.name}`);
      await until('it can be removed', async () => (await h1.daemon.request('DELETE', '/networks/pods')).status === 204);
    });
  }
});
