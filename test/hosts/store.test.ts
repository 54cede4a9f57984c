// test-timeout: 300 s
/** Three hosts and a store: networks appear everywhere, sandboxes reach each other, and nobody's absence is noticed by packets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NO_ETCD } from '../support/etcd.ts';
import { allReach, createHosts, createNetwork, type Host, pinging, sandboxOn, startStore, STORE_FLAGS, until } from './lab.ts';

async function has({ daemon }: Host, network: string): Promise<boolean> {
  const answer = await daemon.request('GET', `/networks/${network}`);
  return answer.status === 200;
}

test('a network made on one host is on all, for each backend; nobody misses a daemon or the store', {
  skip: NO_ETCD,
}, async (t) => {
  await using world = await createHosts(3, () => STORE_FLAGS);
  await using store = await startStore();
  const { hosts } = world;
  const [h1, h2, h3] = hosts;
  assert.ok(h1 && h2 && h3);
  await Promise.all(hosts.map(({ daemon }) => daemon.start()));

  for (const backend of ['host-gw', 'vxlan', 'udp'] as const) {
    await t.test(backend, async () => {
      await createNetwork(h1, 'pods', backend);
      for (const host of hosts) await until(`h${host.n} has the network`, () => has(host, 'pods'));
      const sandboxes = await Promise.all(hosts.map((host) => sandboxOn(host, 'pods')));
      assert.equal(new Set(sandboxes.map(({ address }) => address.split('.').slice(0, 3).join('.'))).size, 3);
      await allReach(hosts, sandboxes);
      const [s1, s2] = sandboxes;
      assert.ok(s1 && s2);

      const overKill = await pinging(h1, s1, s2);
      await h2.daemon.stop('SIGKILL');
      await sleep(500);
      await h2.daemon.start();
      await allReach(hosts, sandboxes);
      const killed = await overKill.finish();
      t.diagnostic(`${backend}: kill -9 and start again: ${killed.lost} of ${killed.sent} packets lost`);
      assert.equal(killed.lost, 0);

      const overSilence = await pinging(h1, s1, s2);
      await store.freeze();
      await sleep(6_000);
      store.thaw();
      await sleep(500);
      const silent = await overSilence.finish();
      assert.deepEqual(silent, { sent: silent.sent, lost: 0 });

      // In use on other hosts.
      const refused = await h1.daemon.request('DELETE', '/networks/pods');
      assert.equal(refused.status, 403, refused.text);
      for (const [i, { daemon }] of hosts.entries())
        assert.equal((await daemon.request('DELETE', `/moor/sandboxes/${sandboxes[i]?.name}`)).status, 200);
      await until('it can be removed', async () => (await h2.daemon.request('DELETE', '/networks/pods')).status === 204);
      for (const host of hosts) {
        await until(`h${host.n} has the network no more`, async () => !(await has(host, 'pods')));
        const routes = await host.daemon.inside('ip', '-4', 'route');
        assert.doesNotMatch(routes.stdout, /10\.244\./);
      }
    });
  }
});
