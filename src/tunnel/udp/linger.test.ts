/** When a tunnel process looks on, and when it sleeps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Linger } from './linger.ts';

test('whose packets are far apart is slept for', () => {
  const linger = new Linger();
  for (const at of [1, 2, 3]) {
    linger.packets(at);
    assert.equal(linger.goesOn(at + 0.001), false);
    linger.woken(at + 0.9);
  }
});

test('after a sleep that a moment longer would have saved it looks on for 20 us after each packet, and then sleeps', () => {
  const linger = new Linger();
  linger.packets(1);
  assert.equal(linger.goesOn(1.001), false);
  linger.woken(1.03);
  linger.packets(1.031);
  assert.equal(linger.goesOn(1.05), true);
  linger.packets(1.06);
  assert.equal(linger.goesOn(1.079), true);
  assert.equal(linger.goesOn(1.081), false);
  // And not again before the next such sleep.
  assert.equal(linger.goesOn(1.062), false);
  linger.woken(2);
  linger.packets(2);
  assert.equal(linger.goesOn(2.001), false);
});
