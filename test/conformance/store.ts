/**
 * What every store must do. Written so that a store on a server (etcd, Consul, ZooKeeper) passes too: revisions are only
 * compared, never counted; what the contract calls "soon" is waited for; keys of other suites may exist.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoorError, type ErrorKind } from '../../src/base/errors.ts';
import type { Expect, Lease, Revision, Store, StoreEvent, Write } from '../../src/contracts/store.ts';

/** One store with nothing in it, and how to take it away. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: Store;
  /** Makes `watch` from before this call impossible (etcd: compaction; in process: more changes than are kept). */
  readonly compact: () => Promise<void>;
  /** The same state as another process sees it; only stores on a server have that. Disposed by the test. */
  readonly another?: () => Promise<Store>;
}

export interface StoreSuite {
  readonly name: string;
  /** Why it cannot be run here. */
  readonly skip?: string | false;
  readonly open: () => Promise<StoreUnderTest>;
}

/** How long a test waits for what must come; failing takes this long, passing does not. */
const PATIENCE_MS = 10_000;

const put = (key: string, value: string, more: { readonly expect?: Expect; readonly lease?: Lease } = {}): Write => ({
  type: 'put',
  key,
  value,
  ...more,
});
const remove = (key: string): Write => ({ type: 'delete', key });

async function rejects(kind: ErrorKind, what: Promise<unknown>, text: RegExp): Promise<void> {
  await assert.rejects(what, (error: unknown) => {
    assert.ok(error instanceof MoorError, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, text);
    return true;
  });
}

/** Reads events until there are `count`, then stops watching. */
async function take(
  store: Store,
  from: Revision,
  options: { readonly prefix: string; readonly count: number },
): Promise<StoreEvent[]> {
  const stop = new AbortController();
  const events: StoreEvent[] = [];
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(PATIENCE_MS)]);
  for await (const batch of store.watch(options.prefix, from, signal)) {
    assert.ok(batch.length > 0, 'an empty batch');
    events.push(...batch);
    if (events.length >= options.count) stop.abort();
  }
  assert.equal(events.length, options.count, JSON.stringify(events));
  return events;
}

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < end, 'it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const plain = (events: readonly StoreEvent[]): readonly (readonly [string, string | null])[] =>
  events.map(({ key, value }) => [key, value]);

/** Registers the suite's tests with node:test. */
export function storeConformance(suite: StoreSuite): void {
  const check = (title: string, body: (under: StoreUnderTest) => Promise<void>): void =>
    void test(`${suite.name}: ${title}`, { skip: suite.skip ?? false }, async () => {
      await using under = await suite.open();
      await body(under);
    });

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

  check('deleting what is absent is no error and no change', async ({ store }) => {
    const first = await store.commit([put('n/a', '1')]);
    assert.ok((await store.commit([remove('n/none')])) >= first);
    assert.ok((await store.commit([])) >= first);
    const last = await store.commit([remove('n/none'), put('n/b', '1'), remove('n/a')]);
    const events = await take(store, first, { prefix: 'n/', count: 2 });
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

  check('a watch has every change after its revision, in order, only below its prefix', async ({ store }) => {
    const start = await store.commit([put('w/0', 'before')]);
    const stop = new AbortController();
    const seen: StoreEvent[] = [];
    const watching = (async () => {
      for await (const batch of store.watch('w/', start, stop.signal)) {
        seen.push(...batch);
        if (seen.length >= 101) stop.abort();
      }
    })();
    for (let i = 1; i <= 50; i++) await store.commit([put(`w/${i}`, String(i)), put(`other/${i}`, 'no')]);
    await Promise.all(Array.from({ length: 50 }, (_, i) => store.commit([remove(`w/${i + 1}`)])));
    await store.commit([put('w/last', 'end')]);
    setTimeout(() => stop.abort(), PATIENCE_MS).unref();
    await watching;
    assert.equal(seen.length, 101);
    assert.deepEqual(
      plain(seen.slice(0, 50)),
      Array.from({ length: 50 }, (_, i) => [`w/${i + 1}`, String(i + 1)]),
    );
    assert.equal(new Set(seen.slice(50, 100).map((event) => event.key)).size, 50);
    assert.ok(seen.slice(50, 100).every((event) => event.value === null));
    assert.deepEqual(plain(seen.slice(100)), [['w/last', 'end']]);
    assert.ok(seen.every((event, i) => event.revision >= (seen[i - 1]?.revision ?? start)));
  });

  check('list, then watch from its revision: no gap and nothing twice, while others write', async ({ store }) => {
    for (let i = 0; i < 20; i++) await store.commit([put(`g/${i}`, String(i))]);
    const writer = (async () => {
      for (let i = 20; i < 200; i++) await store.commit([put(`g/${i % 20}`, String(i))]);
    })();
    const listing = await store.list('g/');
    const state = new Map(listing.entries.map((entry) => [entry.key, entry.value]));
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(PATIENCE_MS)]);
    let previous = Math.max(...[...state.values()].map(Number));
    assert.ok(previous < 199, 'the writer was not at work any more');
    for await (const batch of store.watch('g/', listing.revision, signal)) {
      for (const event of batch) {
        assert.equal(Number(event.value), ++previous, 'a change is missing or came twice');
        state.set(event.key, event.value ?? '');
      }
      if (previous >= 199) stop.abort();
    }
    await writer;
    assert.deepEqual(state, new Map((await store.list('g/')).entries.map((entry) => [entry.key, entry.value])));
  });

  check('two watches are independent; one may be left early', async ({ store }) => {
    const start = await store.commit([put('w/a', '1')]);
    const second = await store.commit([put('w/b', '2')]);
    await store.commit([put('w/c', '3')]);
    for await (const batch of store.watch('w/', start, AbortSignal.timeout(PATIENCE_MS))) {
      assert.equal(batch[0]?.key, 'w/b');
      break;
    }
    assert.deepEqual(plain(await take(store, start, { prefix: 'w/', count: 2 })), [
      ['w/b', '2'],
      ['w/c', '3'],
    ]);
    assert.deepEqual(plain(await take(store, second, { prefix: 'w/', count: 1 })), [['w/c', '3']]);
  });

  check('a watch ends when its signal aborts, before or while it waits', async ({ store }) => {
    const now = await store.commit([put('w/a', '1')]);
    for await (const batch of store.watch('w/', now, AbortSignal.abort())) assert.fail(JSON.stringify(batch));
    for await (const batch of store.watch('w/', now, AbortSignal.timeout(20))) assert.fail(JSON.stringify(batch));
  });

  check('a watch from a revision that is forgotten says compacted', async ({ store, compact }) => {
    const old = await store.commit([put('w/a', '1')]);
    await store.commit([put('w/a', '2')]);
    await compact();
    const watching = (async () => {
      for await (const batch of store.watch('w/', old, AbortSignal.timeout(PATIENCE_MS))) assert.fail(JSON.stringify(batch));
    })();
    await rejects('unavailable', watching, /compacted/);
    const { revision } = await store.list('w/');
    await store.commit([put('w/b', 'new')]);
    assert.deepEqual(plain(await take(store, revision, { prefix: 'w/', count: 1 })), [['w/b', 'new']]);
  });

  check('entries vanish with their lease, and a watch tells', async ({ store }) => {
    const lease = await store.lease(60_000);
    assert.equal(lease.lost.aborted, false);
    const start = await store.commit([put('l/a', '1', { lease }), put('l/b', '1', { lease }), put('l/stays', '1')]);
    await store.commit([put('l/b', 'without the lease')]);
    await lease[Symbol.asyncDispose]();
    assert.equal(lease.lost.aborted, true);
    await eventually(async () => (await store.get('l/a')) === null);
    assert.deepEqual(
      (await store.list('l/')).entries.map((entry) => entry.key),
      ['l/b', 'l/stays'],
    );
    const events = await take(store, start, { prefix: 'l/', count: 2 });
    assert.deepEqual(plain(events), [
      ['l/b', 'without the lease'],
      ['l/a', null],
    ]);
    await rejects('unavailable', store.commit([put('l/c', '1', { lease })]), /lease is lost/);
    await lease[Symbol.asyncDispose]();
  });

  check('a lease outlives its time to live while its process is alive', async ({ store }) => {
    await using lease = await store.lease(1_000);
    await store.commit([put('l/a', '1', { lease })]);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal((await store.get('l/a'))?.value, '1');
    await rejects('invalid', store.lease(0), /invalid lease/);
    await rejects('invalid', store.lease(Number.NaN), /invalid lease/);
  });

  check('a closed store finishes what it was given, then says so', async ({ store }) => {
    const lease = await store.lease(60_000);
    const given = store.commit([put('n/a', '1')]);
    const watching = (async () => {
      for await (const batch of store.watch('none/', await given, AbortSignal.timeout(PATIENCE_MS)))
        assert.fail(JSON.stringify(batch));
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
}
