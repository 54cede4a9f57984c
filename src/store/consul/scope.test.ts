import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry } from '../../contracts/store.ts';
import { Scope } from './scope.ts';

const look = (revision: number, ...entries: readonly (readonly [key: string, revision: number])[]) => ({
  revision,
  entries: new Map(entries.map(([key, at]): [string, Entry] => [key, { key, value: `${at}`, revision: at }])),
});

/** What is told until the revision, from the first look on. */
async function told(scope: Scope, from: number, count: number): Promise<readonly string[]> {
  const out: string[] = [];
  for await (const events of scope.feed.watch('', from, AbortSignal.timeout(1_000))) {
    out.push(...events.map(({ key, value, revision }) => `${key} ${value ?? 'gone'} at ${revision}`));
    if (out.length >= count) break;
  }
  return out;
}

test('what this process wrote, and is gone before a look shows it, is told as gone; what is there is told as ever', async () => {
  const scope = new Scope(look(5));
  scope.wrote('a', 7);
  scope.wrote('b', 8);
  scope.wrote('c', 20);
  assert.equal(scope.take(look(6)), 'nothing new', 'older than the writes');
  assert.equal(scope.take(look(9, ['b', 8])), 'news');
  assert.equal(scope.take(look(10, ['b', 8])), 'nothing new', 'told once');
  assert.deepEqual(await told(scope, 5, 2), ['b 8 at 8', 'a gone at 9']);
});

test('what was shown and goes is told once', async () => {
  const scope = new Scope(look(5));
  scope.wrote('a', 7);
  assert.equal(scope.take(look(7, ['a', 7])), 'news');
  assert.equal(scope.take(look(8)), 'news');
  assert.deepEqual(await told(scope, 5, 2), ['a 7 at 7', 'a gone at 8']);
});
