/** What every store whose server keeps a history must do for those who watch it: each value that a key ever had is told. */
import assert from 'node:assert/strict';
import type { StoreEvent } from '../../src/contracts/store.ts';
import { type Check, PATIENCE_MS, plain, put, remove, take } from './store-harness.ts';

export function historyChecks(check: Check): void {
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

  check('a watch from long ago tells all of it, commit by commit', async ({ store }) => {
    const start = await store.commit([put('w/0', '')]);
    const expected: string[] = [];
    for (let i = 1; i <= 120; i++) {
      const revision = await store.commit([put(`w/${i}`, 'x'.repeat(2_000)), put(`w/${i + 1}`, ''), remove(`w/${i - 1}`)]);
      expected.push(`${revision} w/${i}`, `${revision} w/${i + 1}`, `${revision} w/${i - 1}`);
    }
    const events = await take(store, start, { prefix: 'w/', count: 360 });
    assert.deepEqual(
      events.map(({ key, revision }) => `${revision} ${key}`),
      expected,
    );
  });

  check('a slow watcher misses nothing', async ({ store }) => {
    const start = await store.commit([put('w/a', 'start')]);
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(PATIENCE_MS)]);
    const writer = (async () => {
      for (let i = 0; i < 300; i++) await store.commit([put('w/a', `${i} `.padEnd(4_000, 'x'))]);
    })();
    const seen: number[] = [];
    for await (const batch of store.watch('w/', start, signal)) {
      seen.push(...batch.map(({ value }) => Number.parseInt(value ?? '', 10)));
      if (seen.length >= 300) stop.abort();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await writer;
    assert.deepEqual(
      seen,
      Array.from({ length: 300 }, (_, i) => i),
    );
  });

  check('twenty watches see the same, each its part', async ({ store }) => {
    const start = await store.commit([put('start', '')]);
    const prefixes = Array.from({ length: 10 }, (_, i) => `w/${i}/`);
    const watching = [...prefixes, ...prefixes].map((prefix) => take(store, start, { prefix, count: 20 }));
    for (let i = 0; i < 20; i++) await store.commit(prefixes.map((prefix) => put(`${prefix}k`, `${prefix}${i}`)));
    for (const [index, events] of (await Promise.all(watching)).entries()) {
      const prefix = prefixes[index % 10];
      assert.deepEqual(
        events.map(({ value }) => value),
        Array.from({ length: 20 }, (_, i) => `${prefix}${i}`),
      );
    }
  });
}
