/**
 * What every store without a history must do for those who watch it: of several changes to a key close together the last is told, so
 * that whoever has listed and then applies what is told has what is there; and nothing is told that was not so.
 */
import assert from 'node:assert/strict';
import { CompactedError, type StoreEvent } from '../../src/contracts/store.ts';
import { type Check, eventually, PATIENCE_MS, plain, put, remove, take } from './store-harness.ts';

/** A listing, and what a watch tells after it. */
class Follower {
  readonly state = new Map<string, string>();
  readonly events: StoreEvent[] = [];
  #revision = 0;

  constructor(entries: readonly { readonly key: string; readonly value: string }[], revision: number) {
    for (const { key, value } of entries) this.state.set(key, value);
    this.#revision = revision;
  }

  apply(batch: readonly StoreEvent[]): void {
    assert.ok(batch.length > 0, 'an empty batch');
    for (const event of batch) {
      assert.ok(event.revision >= this.#revision, `${event.key} at ${event.revision} after ${this.#revision}`);
      this.#revision = event.revision;
      this.events.push(event);
      if (event.value === null) this.state.delete(event.key);
      else this.state.set(event.key, event.value);
    }
  }
}

export function lookChecks(check: Check): void {
  check(
    'list, then watch: what is told leads to what is there, in order, while others write, create and delete',
    async ({ store }) => {
      for (let i = 0; i < 20; i++) await store.commit([put(`g/${i}`, '0')]);
      const written = new Map<string, Set<string | null>>();
      const noted = (key: string, value: string | null): void => {
        written.set(key, (written.get(key) ?? new Set()).add(value));
      };
      const writer = (async () => {
        for (let i = 1; i < 300; i++) {
          const [key, other] = [`g/${i % 20}`, `g/${(i * 7 + 3) % 40}`];
          noted(key, String(i));
          if (other === key) await store.commit([put(key, String(i))]);
          else {
            noted(other, null);
            await store.commit([put(key, String(i)), remove(other), put(`elsewhere/${i}`, '')]);
          }
        }
        await store.commit([put('g/end', 'end')]);
      })();
      const listing = await store.list('g/');
      const follower = new Follower(listing.entries, listing.revision);
      const stop = new AbortController();
      for await (const batch of store.watch(
        'g/',
        listing.revision,
        AbortSignal.any([stop.signal, AbortSignal.timeout(PATIENCE_MS)]),
      )) {
        follower.apply(batch);
        if (follower.state.get('g/end') === 'end') stop.abort();
      }
      await writer;
      assert.deepEqual(follower.state, new Map((await store.list('g/')).entries.map(({ key, value }) => [key, value])));
      for (const { key, value } of follower.events) {
        if (key !== 'g/end') assert.ok(written.get(key)?.has(value), `${key} never was ${value}`);
      }
      const told = new Set(follower.events.map(({ key, revision, value }) => `${key} ${revision} ${value}`));
      assert.equal(told.size, follower.events.length, 'a change came twice');
    },
  );

  check('changes that nobody follows them upon are told one by one', async ({ store }) => {
    const { revision } = await store.list('w/');
    const stop = new AbortController();
    const seen: StoreEvent[] = [];
    const watching = (async () => {
      for await (const batch of store.watch('w/', revision, AbortSignal.any([stop.signal, AbortSignal.timeout(PATIENCE_MS)])))
        seen.push(...batch);
    })();
    const revisions: number[] = [];
    for (let i = 0; i < 10; i++) {
      revisions.push(await store.commit([i % 3 === 2 ? remove('w/a') : put('w/a', String(i))]));
      await eventually(async () => seen.length === i + 1);
    }
    stop.abort();
    await watching;
    assert.deepEqual(
      plain(seen),
      Array.from({ length: 10 }, (_, i) => ['w/a', i % 3 === 2 ? null : String(i)]),
    );
    assert.deepEqual(
      seen.map((event) => event.revision),
      revisions,
    );
  });

  check('a slow watcher is told the last of each key', async ({ store }) => {
    const { revision } = await store.list('w/');
    const writer = (async () => {
      for (let i = 0; i < 100; i++) await store.commit([put(`w/${i % 5}`, `${i} `.padEnd(4_000, 'x'))]);
      await store.commit([put('w/end', '')]);
    })();
    const follower = new Follower([], revision);
    const stop = new AbortController();
    for await (const batch of store.watch('w/', revision, AbortSignal.any([stop.signal, AbortSignal.timeout(PATIENCE_MS)]))) {
      follower.apply(batch);
      if (follower.state.has('w/end')) stop.abort();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await writer;
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((i) => Number.parseInt(follower.state.get(`w/${i}`) ?? '', 10)),
      [95, 96, 97, 98, 99],
    );
  });

  check('twenty watches end with the same, each its part', async ({ store }) => {
    const prefixes = Array.from({ length: 10 }, (_, i) => `w/${i}/`);
    const watching = [...prefixes, ...prefixes].map(async (prefix) => {
      const { revision } = await store.list(prefix);
      const follower = new Follower([], revision);
      const stop = new AbortController();
      for await (const batch of store.watch(prefix, revision, AbortSignal.any([stop.signal, AbortSignal.timeout(PATIENCE_MS)]))) {
        follower.apply(batch);
        if (follower.state.get(`${prefix}k`) === `${prefix}19`) stop.abort();
      }
      return follower;
    });
    for (let i = 0; i < 20; i++) await store.commit(prefixes.map((prefix) => put(`${prefix}k`, `${prefix}${i}`)));
    for (const [index, follower] of (await Promise.all(watching)).entries()) {
      assert.deepEqual([...follower.state], [[`${prefixes[index % 10]}k`, `${prefixes[index % 10]}19`]]);
    }
  });

  check('a watch may begin where a commit was, unless something has changed below its prefix since', async ({ store }) => {
    const first = await store.commit([put('w/a', '1'), put('v/a', '1')]);
    await store.commit([put('other', '1')]);
    const taking = take(store, first, { prefix: 'w/', count: 1 });
    // Time for the first look, and for more than that.
    await new Promise((resolve) => setTimeout(resolve, 300));
    await store.commit([put('w/a', '2')]);
    assert.deepEqual(plain(await taking), [['w/a', '2']]);
    await store.commit([put('v/b', '1')]);
    await store.commit([remove('v/b')]);
    await assert.rejects(take(store, first, { prefix: 'v/', count: 1 }), CompactedError);
  });
}
