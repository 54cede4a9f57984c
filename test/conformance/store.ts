/**
 * What every store must do. Written so that a store on a server (etcd, Consul, ZooKeeper) passes too: revisions are only
 * compared, never counted; what the contract calls "soon" is waited for; keys of other suites may exist.
 */
import assert from 'node:assert/strict';
import {
  beginning,
  checkOf,
  eventually,
  PATIENCE_MS,
  plain,
  put,
  rejects,
  remove,
  type StoreSuite,
  take,
} from './store-harness.ts';
import { historyChecks } from './store-history.ts';
import { leaseChecks } from './store-leases.ts';
import { lookChecks } from './store-looks.ts';
import { watchChecks } from './store-watches.ts';

/** Registers the suite's tests with node:test. */
export function storeConformance(suite: StoreSuite): void {
  const check = checkOf(suite);
  check('what is put can be got, with the revision of its commit', async ({ store }) => {
    assert.equal(await store.get('network/a'), null);
    const revision = await store.commit([put('network/a', '1')]);
    assert.deepEqual({ ...(await store.get('network/a')) }, { key: 'network/a', value: '1', revision });
    const later = await store.commit([put('network/a', '2')]);
    assert.ok(later > revision);
    assert.deepEqual({ ...(await store.get('network/a')) }, { key: 'network/a', value: '2', revision: later });
  });

  check('values keep every character', async ({ store }) => {
    const values = {
      empty: '',
      quotes: `'"\\;--`,
      lines: 'a\nb\r\n',
      umlaut: 'Grüße',
      emoji: '🦊',
      nul: 'a\u0000b',
      long: 'x'.repeat(200_000),
    };
    await store.commit(Object.entries(values).map(([name, value]) => put(`value/${name}`, value)));
    for (const [name, value] of Object.entries(values)) assert.equal((await store.get(`value/${name}`))?.value, value, name);
  });

  check('a listing has the entries below the prefix, in key order, at one revision', async ({ store }) => {
    const keys = ['b/2', 'a/x', 'b/10', 'b/1', 'ba', 'b/1/z', 'B/1', 'b/~', 'b/-'];
    let last = 0;
    for (const key of keys) last = await store.commit([put(key, key)]);
    const { entries, revision } = await store.list('b/');
    assert.deepEqual(
      entries.map((entry) => entry.key),
      ['b/-', 'b/1', 'b/1/z', 'b/10', 'b/2', 'b/~'],
    );
    assert.ok(entries.every((entry) => entry.value === entry.key && entry.revision <= revision));
    assert.ok(revision >= last);
    assert.deepEqual(
      (await store.list('')).entries.map((entry) => entry.key),
      [...keys].sort(),
    );
    assert.deepEqual((await store.list('c/')).entries, []);
  });

  check('a commit is all or nothing', async ({ store }) => {
    const first = await store.commit([put('n/a', '1'), put('n/b', '1')]);
    assert.equal((await store.get('n/a'))?.revision, (await store.get('n/b'))?.revision);
    await rejects('conflict', store.commit([put('n/a', '2'), put('n/b', '2', { expect: 'absent' }), remove('n/a2')]), /n\/b/);
    assert.equal((await store.get('n/a'))?.value, '1');
    assert.deepEqual(
      (await store.list('n/')).entries.map((entry) => entry.revision),
      [first, first],
    );
  });

  check('expectations: absent, exactly this revision, gone', async ({ store }) => {
    const first = await store.commit([put('n/a', '1', { expect: 'absent' })]);
    await rejects('conflict', store.commit([put('n/a', 'x', { expect: 'absent' })]), /n\/a/);
    const second = await store.commit([put('n/a', '2', { expect: first })]);
    await rejects('conflict', store.commit([put('n/a', 'x', { expect: first })]), /n\/a/);
    await rejects('conflict', store.commit([{ type: 'delete', key: 'n/a', expect: first }]), /n\/a/);
    await rejects('conflict', store.commit([{ type: 'delete', key: 'n/none', expect: first }]), /n\/none/);
    assert.equal((await store.get('n/a'))?.value, '2');
    await store.commit([{ type: 'delete', key: 'n/a', expect: second }]);
    assert.equal(await store.get('n/a'), null);
    await rejects('conflict', store.commit([put('n/a', 'x', { expect: second })]), /n\/a/);
    assert.ok((await store.commit([put('n/a', '3', { expect: 'absent' })])) > second, 'revisions never come back');
  });

  check('deleting what is absent is no error and no change', async (under) => {
    const { store } = under;
    const first = await store.commit([put('n/a', '1')]);
    const start = await beginning(under, first, 'n/');
    assert.ok((await store.commit([remove('n/none')])) >= first);
    assert.ok((await store.commit([])) >= first);
    const last = await store.commit([remove('n/none'), put('n/b', '1'), remove('n/a')]);
    const events = await take(store, start, { prefix: 'n/', count: 2 });
    assert.deepEqual(plain(events), [
      ['n/b', '1'],
      ['n/a', null],
    ]);
    assert.ok(events.every((event) => event.revision === last));
  });

  check('one caller whose expectation fails does not fail those beside it', async ({ store }) => {
    await store.commit([put('taken', '0')]);
    const results = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) =>
        store.commit(i % 4 === 0 ? [put(`k/${i}`, 'bad'), put('taken', 'x', { expect: 'absent' })] : [put(`k/${i}`, 'good')]),
      ),
    );
    assert.deepEqual(
      results.map((result) => result.status),
      results.map((_, i) => (i % 4 === 0 ? 'rejected' : 'fulfilled')),
    );
    const { entries } = await store.list('k/');
    assert.equal(entries.length, 30);
    assert.ok(entries.every((entry) => entry.value === 'good'));
    const revisions = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    assert.equal(new Set(revisions).size, 30, 'every commit has a revision of its own');
  });

  check('of many that create the same key exactly one wins', async ({ store }) => {
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => store.commit([put('lock', String(i), { expect: 'absent' })])),
    );
    const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []));
    assert.equal(winners.length, 1);
    assert.equal((await store.get('lock'))?.value, String(winners[0]));
  });

  check('bad keys, prefixes and values are refused and nothing is written', async ({ store }) => {
    for (const key of ['', '/', '/a', 'a/', 'a//b', 'a b', 'ä', 'a\u0000', 'x'.repeat(513)]) {
      await rejects('invalid', store.commit([put('ok', '1'), put(key, '1')]), /invalid store key/);
      await rejects('invalid', store.get(key), /invalid store key/);
    }
    await rejects('invalid', store.list('ä'), /invalid store prefix/);
    await rejects('invalid', store.commit([put('ok', '1'), put('ok', '2')]), /written twice/);
    await rejects('invalid', store.commit([put('ok', '\ud800')]), /Unicode/);
    await rejects('invalid', store.commit([put('ok', 'ä'.repeat(300_000))]), /600000 bytes/);
    assert.equal(await store.get('ok'), null);
  });

  check('ten thousand entries are listed completely, in order, at one revision, while others write', async ({ store }) => {
    const name = (i: number): string => `many/${String(i).padStart(5, '0')}`;
    const numbers = Array.from({ length: 10_000 }, (_, i) => i);
    const most = Math.min(100, store.commitWrites ?? 100);
    for (let i = 0; i < 10_000; i += most)
      await store.commit(numbers.slice(i, i + most).map((number) => put(name(number), `value ${number}`)));
    const stop = new AbortController();
    const writer = (async () => {
      // One entry moves about: a listing that is not of one moment would have it twice, or not at all.
      for (let i = 0; !stop.signal.aborted; i++) await store.commit([remove(`many/m${i % 7}`), put(`many/m${(i + 1) % 7}`, '')]);
    })();
    try {
      for (let round = 0; round < 3; round++) {
        const { entries, revision } = await store.list('many/');
        const moving = entries.filter(({ key }) => key.startsWith('many/m'));
        if (round > 0) assert.equal(moving.length, 1, JSON.stringify(moving));
        assert.deepEqual(
          entries.slice(0, 10_000).map(({ key, value }) => [key, value]),
          numbers.map((i) => [name(i), `value ${i}`]),
        );
        assert.ok(entries.every((entry) => entry.revision <= revision));
        await eventually(async () => (await store.list('many/m')).revision > revision);
      }
    } finally {
      stop.abort();
      await writer;
    }
  });

  check('a closed store finishes what it was given, then says so', async (under) => {
    const { store } = under;
    const lease = await store.lease(60_000);
    const given = store.commit([put('n/a', '1')]);
    const start = await beginning(under, await given, 'none/');
    const watching = (async () => {
      for await (const batch of store.watch('none/', start, AbortSignal.timeout(PATIENCE_MS))) assert.fail(JSON.stringify(batch));
    })();
    const ended = rejects('unavailable', watching, /closed/);
    await given;
    const last = store.commit([put('n/b', '1')]);
    await store[Symbol.asyncDispose]();
    await last;
    await ended;
    assert.equal(lease.lost.aborted, true);
    await rejects('unavailable', store.get('n/a'), /closed/);
    await rejects('unavailable', store.list('n/'), /closed/);
    await rejects('unavailable', store.commit([put('n/c', '1')]), /closed/);
    await rejects('unavailable', store.lease(1_000), /closed/);
    await lease[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  });

  watchChecks(check);
  if (suite.history === false) lookChecks(check);
  else historyChecks(check);
  leaseChecks(check);
  const { another } = suite;
  if (!another) return;
  check('another process sees what this one writes, and its leases', async (under) => {
    const { store } = under;
    await using other = await another(under);
    const lease = await store.lease(60_000);
    const start = await store.commit([put('n/a', '1', { lease }), put('n/b', '1')]);
    const [theirs, ours] = [await other.list(''), await store.list('')];
    assert.deepEqual(theirs.entries, ours.entries);
    if (under.history !== false) assert.equal(theirs.revision, ours.revision);
    await rejects('conflict', other.commit([put('n/a', '2', { expect: 'absent' })]), /n\/a/);
    await rejects('unavailable', other.commit([put('n/c', '1', { lease })]), /lease is lost/);
    const from = await beginning({ ...under, store: other }, start, 'n/');
    const taking = take(other, from, { prefix: 'n/', count: 2 });
    await store.commit([remove('n/b')]);
    await lease[Symbol.asyncDispose]();
    const told = plain(await taking);
    // Without a history it may be one look that misses both.
    const inOrder = under.history === false ? told.toSorted(([one], [two]) => (one > two ? -1 : 1)) : told;
    assert.deepEqual(inOrder, [
      ['n/b', null],
      ['n/a', null],
    ]);
    // Closing a store is no leaving: what is under its leases runs out in time.
    const kept = await store.lease(60_000);
    await store.commit([put('n/kept', '1', { lease: kept })]);
    await store[Symbol.asyncDispose]();
    assert.equal((await other.get('n/kept'))?.value, '1');
  });
}
