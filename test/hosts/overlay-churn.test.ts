// test-timeout: 900 s
/**
 * Endpoints come and go on all hosts at once, daemons are killed and the store is started anew meanwhile; in the end every host has exactly what leads
 * to the endpoints that live, so does the store, and who should reach whom does. MOOR_CHURN=hosts=10,networks=50,endpoints=1000,seconds=300 makes
 * it larger, MOOR_TEST_SEED the same again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NO_ETCD } from '../support/etcd.ts';
import { createRandom, seedOfRun } from '../support/random.ts';
import { say } from '../support/say.ts';
import {
  churn,
  churnSize,
  createNetworks,
  entriesOf,
  type Live,
  livesOf,
  reach,
  storedKeys,
  type Tally,
  wantedEntries,
} from './churn.ts';
import { createHosts, outer, startStore, STORE_FLAGS, until } from './lab.ts';

const SIZE = churnSize(process.env['MOOR_CHURN'], { hosts: 3, networks: 4, endpoints: 60, seconds: 30 });
/** Milliseconds in which all hosts must have come to agree; more than a lease, and a look at everything. */
const SETTLE_MS = 180_000;
/** Pairs that are tried. */
const PAIRS = 60;

test('churn', { skip: NO_ETCD }, async (t) => {
  const seed = seedOfRun();
  say(`MOOR_TEST_SEED=${seed} ${JSON.stringify(SIZE)}`);
  const random = createRandom(seed);
  await using world = await createHosts(SIZE.hosts, () => STORE_FLAGS);
  await using store = await startStore();
  const { hosts } = world;
  // One after the other: ten at once take a busy machine a minute.
  for (const { daemon } of hosts) await daemon.start();
  const networks = await createNetworks(hosts, SIZE.networks);

  const tally: Tally = { created: 0, removed: 0, refused: 0, kills: 0 };
  const end = Date.now() + SIZE.seconds * 1_000;
  const share = Math.ceil(SIZE.endpoints / SIZE.hosts);
  const work = hosts.map((host) =>
    churn(host, { random: createRandom(seed + host.n), networks: [...networks.keys()], share, until: end, tally }),
  );
  const trouble = async (): Promise<void> => {
    for (let restarted = false; Date.now() < end; ) {
      await sleep(Math.min(SIZE.seconds * 80, 10_000));
      const { daemon } = random.pick(hosts);
      await daemon.stop('SIGKILL');
      tally.kills++;
      if (!restarted && Date.now() > end - SIZE.seconds * 500) {
        restarted = true;
        await store.stop();
        await sleep(1_000);
        await store.start();
      } else await sleep(random.below(1_000));
      await daemon.start();
    }
  };
  await Promise.all([...work, trouble()]);
  const lives = await livesOf(hosts);
  say(`${JSON.stringify(tally)}, ${lives.length} endpoints live`);
  assert.ok(lives.length > SIZE.hosts && tally.removed > SIZE.hosts && tally.kills > 2, 'something came and went');

  await t.test('no address is there twice', () => {
    const taken = lives.map(({ network, address }) => `${network} ${address}`);
    assert.equal(new Set(taken).size, taken.length);
  });

  await t.test('the store holds exactly the endpoints that live, and their addresses', async () => {
    const endpoints = lives.map(({ network, id }) => `${network}/${id}`).toSorted();
    await until('endpoints', async () => (await storedKeys(store, 'endpoints')).join() === endpoints.join(), SETTLE_MS).catch(
      async () => assert.deepEqual(await storedKeys(store, 'endpoints'), endpoints),
    );
    const addresses = lives.map(({ network, address }) => `${network}/${address}`).toSorted();
    const held = async (): Promise<readonly string[]> =>
      (await storedKeys(store, 'addresses')).filter((key) => !key.endsWith('.1')).toSorted();
    await until('addresses', async () => (await held()).join() === addresses.join(), SETTLE_MS).catch(async () =>
      assert.deepEqual(await held(), addresses),
    );
  });

  await t.test('every host has exactly what leads to them', async () => {
    for (const host of hosts) {
      const wanted = wantedEntries(host, lives, outer);
      await until(`h${host.n}`, async () => (await entriesOf(host)).join() === wanted.join(), SETTLE_MS).catch(async () =>
        assert.deepEqual(await entriesOf(host), wanted, `h${host.n}`),
      );
    }
  });

  await t.test('who is on one network reaches each other, and nobody else', async () => {
    const pick = (of: (a: Live, b: Live) => boolean): readonly [Live, Live][] =>
      Array.from({ length: PAIRS * 20 }, (): [Live, Live] => [random.pick(lives), random.pick(lives)])
        .filter(([a, b]) => a !== b && of(a, b))
        .slice(0, PAIRS);
    const together = pick((a, b) => a.network === b.network && a.host !== b.host);
    assert.ok(together.length > 0);
    for (const [a, b] of together) assert.ok(await reach(a, b.address, 10), `${a.name} reaches ${b.name} (${b.address})`);
    const apart = pick((a, b) => a.network !== b.network);
    const wrong = await Promise.all(
      apart.slice(0, 20).map(async ([a, b]) => ((await reach(a, b.address, 1)) ? `${a.name} reaches ${b.name}` : '')),
    );
    assert.deepEqual(
      wrong.filter((text) => text !== ''),
      [],
    );
  });

  await t.test('and when all are gone, nothing is left', async () => {
    await Promise.all(
      hosts.map(async (host) => {
        for (const { name } of lives.filter((one) => one.host === host))
          assert.equal((await host.daemon.request('DELETE', `/moor/sandboxes/${name}`)).status, 200, name);
      }),
    );
    for (const host of hosts) await until(`h${host.n} has nothing`, async () => (await entriesOf(host)).length === 0);
    await until('the store has no endpoint', async () => (await storedKeys(store, 'endpoints')).length === 0);
  });
});
