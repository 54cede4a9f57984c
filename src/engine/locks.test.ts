import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Held } from '../base/keyed-lock.ts';
import { SharedLock } from './locks.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('many hold it shared, one exclusively, in order of arrival', async () => {
  const lock = new SharedLock();
  const got: string[] = [];
  const take = (name: string, exclusive: boolean): Promise<Held> =>
    (exclusive ? lock.exclusive() : lock.shared()).then((held) => {
      got.push(name);
      return held;
    });
  const a = await take('a', false);
  const b = await take('b', false);
  const writer = take('w', true);
  const late = take('late', false);
  await turn();
  assert.deepEqual(got, ['a', 'b'], 'a waiting writer holds back later readers');
  a[Symbol.dispose]();
  a[Symbol.dispose](); // twice is once
  await turn();
  assert.deepEqual(got, ['a', 'b']);
  b[Symbol.dispose]();
  (await writer)[Symbol.dispose]();
  (await late)[Symbol.dispose]();
  assert.deepEqual(got, ['a', 'b', 'w', 'late']);
});
