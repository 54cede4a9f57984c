// test-timeout: 240 s
/**
 * Random, truncated and foreign values below the cluster's prefix, in a real etcd, while a daemon runs: it does not end, routes only what is right, goes on
 * as before when the damage is gone, and keeps nothing of it in memory. SEED=NUMBER and ROUNDS=NUMBER for others.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { base64, type EtcdServer, NO_ETCD } from '../support/etcd.ts';
import { allReach, createHosts, createNetwork, type Host, sandboxOn, startStore, STORE_FLAGS, until } from './lab.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 40);
/** Values of one round. */
const VALUES = 50;
const PREFIX = '/test/';

/** Reproducible: mulberry32. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

interface Entry {
  readonly key: string;
  readonly value: Buffer;
}

async function everything(store: EtcdServer): Promise<readonly Entry[]> {
  const answer = await store.gateway('kv/range', { key: base64(PREFIX), range_end: base64('/test0') });
  return ((answer['kvs'] ?? []) as { key: string; value?: string }[]).map(({ key, value = '' }) => ({
    key: Buffer.from(key, 'base64').toString(),
    value: Buffer.from(value, 'base64'),
  }));
}

const FOREIGN = [
  '',
  'null',
  '[]',
  '{}',
  '0',
  '"x"',
  '{"node":7}',
  '{"node":"h9","reserved":true}',
  '{"a":'.repeat(500),
  '\u0000\uffff',
  '{"__proto__":{"x":1}}',
];
const WORDS = [
  '"h2"',
  '"h9"',
  '"10.9.0.2"',
  '"10.9.0.1"',
  '"0.0.0.0"',
  '"fe80::1"',
  '-1',
  '1e999',
  'true',
  'null',
  '"10.244.0.0/16"',
  '"../../x"',
  '[]',
  '{}',
];

/** Something that looks like it, or not at all. */
function damaged(value: Buffer, random: (below: number) => number): Buffer {
  const text = value.toString();
  const pick = (list: readonly string[]): string => list[random(list.length)] ?? '';
  switch (random(6)) {
    case 0:
      return value.subarray(0, random(value.length + 1));
    case 1:
      return Buffer.from(pick(FOREIGN));
    case 2:
      return Buffer.from(Array.from({ length: random(300) }, () => random(256)));
    case 3: {
      const bytes = Buffer.from(value);
      for (let i = random(4) + 1; i > 0 && bytes.length > 0; i--) bytes[random(bytes.length)] = random(256);
      return bytes;
    }
    default: {
      // One of its values is another one.
      const places = [...text.matchAll(/(?<=[:[,])("[^"]*"|-?\d+|true|false|null)/g)];
      const place = places[random(Math.max(1, places.length))];
      return place === undefined
        ? Buffer.from('{}')
        : Buffer.from(text.slice(0, place.index) + pick(WORDS) + text.slice(place.index + place[0].length));
    }
  }
}

/** Resident memory without what is shared, MiB. */
const memory = ({ daemon }: Host): number =>
  Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${daemon.pid()}/status`, 'utf8'))?.[1]) / 1024;

/** Routes to subnets of the network. */
async function routes({ daemon }: Host): Promise<string[]> {
  const { stdout } = await daemon.inside('ip', '-4', 'route');
  return stdout
    .split('\n')
    .map((line) => line.replace(' linkdown', '').trim())
    .filter((line) => line.startsWith('10.244.'))
    .toSorted();
}

test('damaged values in the store', { skip: NO_ETCD }, async (t) => {
  const seed = Number(process.env['SEED'] ?? 5);
  const random = randomFrom(seed);
  await using world = await createHosts(2, () => STORE_FLAGS);
  await using store = await startStore();
  const { hosts } = world;
  const [h1, h2] = hosts;
  assert.ok(store && h1 && h2);
  await Promise.all(hosts.map(({ daemon }) => daemon.start()));
  await createNetwork(h1, 'pods', 'host-gw');
  for (const { daemon } of hosts)
    await until('the network is there', async () => (await daemon.request('GET', '/networks/pods')).status === 200);
  const sandboxes = await Promise.all(hosts.map((host) => sandboxOn(host, 'pods')));
  await allReach(hosts, sandboxes);
  const good = await everything(store);
  assert.ok(good.some(({ key }) => key.endsWith('/nodes/h2')) && good.some(({ key }) => key.includes('/subnets/')));
  const pids = hosts.map(({ daemon }) => daemon.pid());

  let base = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const keys = [
      ...good.map(({ key }) => key),
      ...['nodes/h9', 'nodes/a b', 'nodes/', 'networks/zzz', 'names/pods2', 'x', 'subnets/zzz/10.244.9.0-24', 'subnets/../1'].map(
        (key) => PREFIX + key,
      ),
      `${good.find(({ key }) => key.includes('/subnets/'))?.key.replace(/[^/]+$/, '')}10.244.${random(256)}.0-24`,
    ];
    // As one transaction, or etcd would be asked a thousand times.
    const chosen = new Map<string, Buffer>();
    for (let i = 0; i < VALUES; i++) {
      const key = keys[random(keys.length)] ?? '';
      const value = good[random(good.length)]?.value ?? Buffer.alloc(0);
      chosen.set(key, damaged(value, random));
    }
    // An entry of somebody else that is whole is no damage: those of peers must stay those of peers.
    await store.gateway('kv/txn', {
      success: [...chosen].map(([key, value]) => ({ requestPut: { key: base64(key), value: value.toString('base64') } })),
    });
    if (round === 4) base = memory(h1);
    // Whoever is routed to is a host that is there.
    for (const host of hosts)
      assert.ok(
        (await routes(host)).some((line) => / dev br-\S+ proto kernel /.test(line)),
        `seed ${seed}, round ${round}: its own`,
      );
    for (const line of await routes(h1))
      assert.match(line, /^10\.244\.\d+\.0\/24 (via 10\.9\.0\.2 dev eth1|dev br-)/, `seed ${seed}, round ${round}`);
  }
  assert.deepEqual(
    hosts.map(({ daemon }) => daemon.pid()),
    pids,
  );
  for (const { daemon } of hosts) assert.equal((await daemon.request('GET', '/_ping')).status, 200, daemon.log());

  const grown = memory(h1) - base;
  // What was there is there again, and all else is gone.
  const wanted = new Set(good.map(({ key }) => key));
  for (const { key } of await everything(store))
    if (!wanted.has(key)) await store.gateway('kv/deleterange', { key: base64(key) });
  for (const { key, value } of good)
    await store.gateway('kv/put', { key: base64(key), value: value.toString('base64'), ignore_lease: false });
  // A damaged entry may have told of a later life of a host, or have given its subnet away, which is followed as if it were true: hosts are started again, and
  // endpoints connected anew, as their status says.
  for (const { daemon } of hosts) {
    await daemon.stop();
    await daemon.start();
  }
  for (const [i, { daemon }] of hosts.entries()) await daemon.request('DELETE', `/moor/sandboxes/${sandboxes[i]?.name}`);
  const settled = async (): Promise<boolean> => {
    const all = await Promise.all(hosts.map(routes));
    const subnets = all.map((lines) => lines.map((line) => line.split(' ')[0]).join());
    return (
      new Set(subnets).size === 1 &&
      all.every((lines) => lines.length === 2 && lines.some((line) => line.includes('via 10.9.0.')))
    );
  };
  await until('the hosts agree', settled, 60_000);
  const again = await Promise.all(hosts.map((host) => sandboxOn(host, 'pods')));
  await allReach(hosts, again);
  t.diagnostic(`${ROUNDS * VALUES} damaged values: memory grew by ${grown.toFixed(1)} MiB`);
  assert.ok(grown < 48, `memory grew by ${grown.toFixed(1)} MiB`);
  // One line for each key is enough.
  assert.ok(h1.daemon.log().length < 1 << 20, `${h1.daemon.log().length} characters of log`);
});
