import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyedLock } from './keyed-lock.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('one key at a time, other keys beside it', async () => {
  const lock = new KeyedLock();
  const first = await lock.hold('x');
  let second = false;
  const waiting = lock.hold('x').then((held) => {
    second = true;
    return held;
  });
  (await lock.hold('y'))[Symbol.dispose]();
  await turn();
  assert.equal(second, false);
  first[Symbol.dispose]();
  (await waiting)[Symbol.dispose]();
  assert.equal(second, true);
});
