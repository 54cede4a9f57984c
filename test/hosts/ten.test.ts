// test-timeout: 240 s
/** Ten hosts: all pairs of sandboxes reach each other, on each backend, also those of hosts that come later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_ETCD } from '../support/etcd.ts';
import { allReach, createHosts, createNetwork, sandboxOn, startStore, STORE_FLAGS, until } from './lab.ts';

test('ten hosts', { skip: NO_ETCD }, async (t) => {
  await using world = await createHosts(10, () => STORE_FLAGS);
  await using store = await startStore();
  assert.ok(store);
  const { hosts } = world;
  const [h1, last] = [hosts[0], hosts.at(-1)];
  assert.ok(h1 && last);
  // One after the other: the machine is small.
  for (const { daemon } of hosts.slice(0, -1)) await daemon.start();
  let started = false;
  for (const backend of ['vxlan', 'host-gw', 'udp'] as const) {
    await t.test(backend, async () => {
      await createNetwork(h1, 'pods', backend);
      if (!started) await last.daemon.start();
      started = true;
      const began = performance.now();
      for (const { daemon } of hosts)
        await until('the network is there', async () => (await daemon.request('GET', '/networks/pods')).status === 200);
      const sandboxes = [];
      for (const host of hosts) sandboxes.push(await sandboxOn(host, 'pods'));
      await allReach(hosts, sandboxes);
      t.diagnostic(
        `${backend}: 10 sandboxes made and 90 pairs pinged ${Math.round(performance.now() - began)} ms after the last host`,
      );
      for (const [i, { daemon }] of hosts.entries()) await daemon.request('DELETE', `/moor/sandboxes/${sandboxes[i]?.name}`);
      await until('it can be removed', async () => (await h1.daemon.request('DELETE', '/networks/pods')).status === 204);
    });
  }
});
