/** What the tests of the store contract share. */
import '../support/isolated.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoorError, type ErrorKind } from '../../src/base/errors.ts';
import type { Expect, Lease, Revision, Store, StoreEvent, Write } from '../../src/contracts/store.ts';

/** One store with nothing in it, and how to take it away. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: Store;
  /** Makes `watch` from before this call impossible (etcd: compaction; in process: more changes than are kept). */
  readonly compact: () => Promise<void>;
  /** Its server keeps no history (`Store.watch` in the contract says what that means). */
  readonly history?: false;
}

export interface StoreSuite {
  readonly name: string;
  /** Why it cannot be run here. */
  readonly skip?: string | false;
  /** As of the stores that it opens. */
  readonly history?: false;
  readonly open: () => Promise<StoreUnderTest>;
  /** The state of a store under test as another process sees it. Only stores on a server have that. */
  readonly another?: (under: StoreUnderTest) => Promise<Store>;
}

/** Registers one test of the suite. */
export type Check = (title: string, body: (under: StoreUnderTest) => Promise<void>) => void;

export const checkOf =
  (suite: StoreSuite): Check =>
  (title, body) =>
    void test(`${suite.name}: ${title}`, { skip: suite.skip ?? false }, async () => {
      await using under = await suite.open();
      await body(under);
    });

/** How long a test waits for what must come; failing takes this long, passing does not. */
export const PATIENCE_MS = 10_000;

export const put = (key: string, value: string, more: { readonly expect?: Expect; readonly lease?: Lease } = {}): Write => ({
  type: 'put',
  key,
  value,
  ...more,
});
/**
 * Where a watch of what comes next begins: at a revision that a commit has returned, or, with a store that keeps no history, at a
 * listing that was made no earlier.
 */
export async function beginning({ store, history }: StoreUnderTest, revision: Revision, prefix: string): Promise<Revision> {
  return history === false ? (await store.list(prefix)).revision : revision;
}

export const remove = (key: string): Write => ({ type: 'delete', key });

export async function rejects(kind: ErrorKind, what: Promise<unknown>, text: RegExp): Promise<void> {
  await assert.rejects(what, (error: unknown) => {
    assert.ok(error instanceof MoorError, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, text);
    return true;
  });
}

/** Reads events until there are `count`, then stops watching. */
export async function take(
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

export async function eventually(condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < end, 'it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export const plain = (events: readonly StoreEvent[]): readonly (readonly [string, string | null])[] =>
  events.map(({ key, value }) => [key, value]);
