// test-timeout: 300 s
/**
 * Three hosts and ten: all pairs of sandboxes reach each other, on each backend, also those of a host that comes when all others are there. How long after
 * its start is told, not judged.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_ETCD } from '../support/etcd.ts';
import {
  allReach,
  createHosts,
  createNetwork,
  type Host,
  reaches,
  type Sandbox,
  sandboxOn,
  startStore,
  STORE_FLAGS,
  until,
} from './lab.ts';

const has = async ({ daemon }: Host): Promise<boolean> => (await daemon.request('GET', '/networks/pods')).status === 200;

/** The last one with each of the others, both ways, at once. */
async function reachesAll(hosts: readonly Host[], sandboxes: readonly Sandbox[]): Promise<void> {
  const [last, own] = [hosts.at(-1), sandboxes.at(-1)];
  assert.ok(last && own);
  await Promise.all(
    hosts.slice(0, -1).flatMap((host, i) => {
      const other = sandboxes[i];
      assert.ok(other);
      return [
        until(`h${last.n} reaches h${host.n}`, () => reaches(last, own, other)),
        until(`h${host.n} reaches h${last.n}`, () => reaches(host, other, own)),
      ];
    }),
  );
}

for (const count of [3, 10]) {
  test(`${count} hosts`, { skip: NO_ETCD }, async (t) => {
    await using world = await createHosts(count, () => STORE_FLAGS);
    await using store = await startStore();
    assert.ok(store);
    const { hosts } = world;
    const [h1, last] = [hosts[0], hosts.at(-1)];
    assert.ok(h1 && last);
    // One after the other: the machine is small.
    for (const { daemon } of hosts.slice(0, -1)) await daemon.start();
    for (const backend of ['vxlan', 'host-gw', 'udp'] as const) {
      await t.test(backend, async () => {
        await createNetwork(h1, 'pods', backend);
        const sandboxes: Sandbox[] = [];
        for (const host of hosts.slice(0, -1)) {
          await until('the network is there', () => has(host));
          sandboxes.push(await sandboxOn(host, 'pods'));
        }
        await last.daemon.start();
        const began = performance.now();
        await until('the network is there', () => has(last));
        sandboxes.push(await sandboxOn(last, 'pods'));
        await reachesAll(hosts, sandboxes);
        t.diagnostic(
          `${count} hosts, ${backend}: the last one reaches and is reached ${Math.round(performance.now() - began)} ms after it was ready`,
        );
        await allReach(hosts, sandboxes);
        // It leaves for good, and comes again as a new one.
        assert.equal((await last.daemon.request('POST', '/moor/reset')).status, 200);
        await last.daemon.stop();
        for (const [i, { daemon }] of hosts.slice(0, -1).entries())
          await daemon.request('DELETE', `/moor/sandboxes/${sandboxes[i]?.name}`);
        await until('it can be removed', async () => (await h1.daemon.request('DELETE', '/networks/pods')).status === 204);
      });
    }
  });
}
