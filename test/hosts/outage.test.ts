// test-timeout: 300 s
/**
 * The store is killed for longer than nodes live, and a daemon meanwhile: no packet is lost, by any backend, and no kernel forgets anything. MOOR_OUTAGE=60
 * makes it as long as the requirement is, in seconds.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NO_ETCD } from '../support/etcd.ts';
import { allReach, createHosts, type Host, pinging, sandboxOn, startStore, STORE_FLAGS, until } from './lab.ts';

const SECONDS = Number(process.env['MOOR_OUTAGE'] ?? 10);
const NODE_TTL_S = 4;
const RANGES = { 'host-gw': '10.244.0.0/16', vxlan: '10.245.0.0/16', udp: '10.246.0.0/16' } as const;

/** Everything of peers: routes, permanent neighbours, forwarding entries. */
async function entriesOf({ daemon }: Host): Promise<readonly string[]> {
  const words = 'ip -4 route; ip neigh show nud permanent; bridge fdb show dev moor-vx1';
  const { stdout } = await daemon.inside('sh', '-c', words);
  // Whether the default network has a carrier changes by itself, a second after it is made.
  return stdout.replaceAll(' linkdown', '').trim().split('\n').toSorted();
}

test(`the store is killed for ${SECONDS} s`, { skip: NO_ETCD }, async (t) => {
  await using world = await createHosts(3, () => [...STORE_FLAGS, '--node-ttl', `${NODE_TTL_S}s`]);
  await using store = await startStore();
  const { hosts } = world;
  const [h1, h2] = hosts;
  assert.ok(h1 && h2);
  await Promise.all(hosts.map(({ daemon }) => daemon.start()));
  const flows = await Promise.all(
    Object.entries(RANGES).map(async ([backend, range]) => {
      const create = ['network', 'create', '-d', 'routed', '--subnet', range, '-o', `backend=${backend}`, backend];
      const made = await h1.daemon.moor(...create);
      assert.equal(made.code, 0, made.stderr);
      const sandboxes = await Promise.all(
        hosts.map(async (host) => {
          const there = async (): Promise<boolean> => (await host.daemon.request('GET', `/networks/${backend}`)).status === 200;
          await until(`h${host.n} has ${backend}`, there);
          return await sandboxOn(host, backend, `${backend}-${host.n}`);
        }),
      );
      await allReach(hosts, sandboxes);
      // Around: each host sends and receives.
      const pings = hosts.map((host, i) => {
        const [from, to] = [sandboxes[i], sandboxes[(i + 1) % hosts.length]];
        assert.ok(from && to);
        return pinging(host, from, to);
      });
      return { backend, pings: await Promise.all(pings) };
    }),
  );
  const states = async ({ daemon }: Host): Promise<string> =>
    (await daemon.moor('node', 'ls', '--format', '{{.Name}} {{.State}}')).stdout;
  const before = await Promise.all(hosts.map(entriesOf));

  await store.stop();
  await sleep(SECONDS * 500);
  await h2.daemon.stop('SIGKILL');
  await h2.daemon.start();
  await sleep(SECONDS * 500);
  assert.match(await states(h1), /h2 unknown\nh3 unknown/);
  await store.start();
  for (const { daemon } of hosts)
    await until('the store is reached again', async () => /test: reached/.test((await daemon.moor('status')).stdout));
  // Nobody is taken for gone until all had the time to come back.
  await sleep((NODE_TTL_S + 1) * 1000);
  assert.match(await states(h1), /h2 ready\nh3 ready/);

  for (const { backend, pings } of flows) {
    const counts = await Promise.all(pings.map(({ finish }) => finish()));
    const sum = (what: 'sent' | 'lost'): number => counts.reduce((total, count) => total + count[what], 0);
    t.diagnostic(`${backend}: ${sum('lost')} of ${sum('sent')} packets lost`);
    assert.deepEqual(
      counts.map(({ lost }) => lost),
      [0, 0, 0],
      backend,
    );
  }
  assert.deepEqual(await Promise.all(hosts.map(entriesOf)), before);
});
