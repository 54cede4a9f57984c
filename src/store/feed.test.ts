import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoreEvent } from '../contracts/store.ts';
import { Feed } from './feed.ts';

const event = (revision: number, key = `k/${revision}`): StoreEvent => ({ key, value: 'v', revision });

/** The first batch from a revision on, or null when none comes at once. */
async function first(feed: Feed, from: number, prefix = ''): Promise<readonly number[] | null> {
  const stop = new AbortController();
  setImmediate(() => stop.abort());
  for await (const batch of feed.watch(prefix, from, stop.signal)) return batch.map(({ revision }) => revision);
  return null;
}

test('history reaches back to exactly where something is missing', async () => {
  const feed = new Feed(10, 3);
  for (let revision = 11; revision <= 15; revision++) feed.append(revision, [event(revision)]);
  assert.deepEqual(await first(feed, 12), [13, 14, 15]);
  assert.deepEqual(await first(feed, 14), [15]);
  assert.equal(await first(feed, 15), null);
  await assert.rejects(first(feed, 11), /cannot watch {2}from revision 11: compacted up to 12, list again/);
});

test('what was before the first change is forgotten from the start', async () => {
  const feed = new Feed(10, 3);
  assert.equal(await first(feed, 10), null);
  await assert.rejects(first(feed, 9), /compacted/);
});

test('a commit is kept whole, however large, until the next one', async () => {
  const feed = new Feed(0, 3);
  feed.append(1, [event(1)]);
  feed.append(
    2,
    Array.from({ length: 8 }, (_, i) => event(2, `k/${i}`)),
  );
  assert.equal((await first(feed, 1))?.length, 8);
  await assert.rejects(first(feed, 0), /compacted/);
  feed.append(3, [event(3)]);
  await assert.rejects(first(feed, 1), /compacted/);
  assert.deepEqual(await first(feed, 2), [3]);
});

test('a watcher that fell behind is told, even after it had begun', async () => {
  const feed = new Feed(0, 2);
  feed.append(1, [event(1)]);
  const watching = feed.watch('', 0, AbortSignal.timeout(5_000))[Symbol.asyncIterator]();
  assert.equal((await watching.next()).done, false);
  for (let revision = 2; revision <= 9; revision++) feed.append(revision, [event(revision)]);
  await assert.rejects(watching.next(), /compacted/);
});

test('changes elsewhere do not make a watcher fall behind', async () => {
  const feed = new Feed(0, 2);
  const stop = new AbortController();
  const seen: number[] = [];
  const watching = (async () => {
    for await (const batch of feed.watch('mine/', 0, stop.signal)) seen.push(...batch.map(({ revision }) => revision));
  })();
  for (let revision = 1; revision <= 50; revision++) {
    feed.append(revision, [event(revision, revision === 50 ? 'mine/a' : 'other/a')]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  stop.abort();
  await watching;
  assert.deepEqual(seen, [50]);
});

test('what has the revision of what was told before, but comes later, is told', async () => {
  const feed = new Feed(10, 10);
  const stop = new AbortController();
  const seen: string[] = [];
  feed.append(11, [event(11, 'a')]);
  for await (const batch of feed.watch('', 10, stop.signal)) {
    seen.push(...batch.map(({ key }) => key));
    if (seen.length === 1) feed.append(11, [event(11, 'b')]);
    else stop.abort();
  }
  assert.deepEqual(seen, ['a', 'b']);
});

test('a batch of several commits is told from where the watch begins', async () => {
  const feed = new Feed(10, 10);
  feed.append(13, [event(11), event(12), event(13)]);
  assert.deepEqual(await first(feed, 11), [12, 13]);
});
