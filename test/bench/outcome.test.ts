import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstServed, outcomeOf } from './outcome.ts';

const STEADY = {
  attempts: [
    { at: 90, took: 1, end: 'served' },
    { at: 99, took: 0.5, end: 'ECONNREFUSED' },
    { at: 101, took: 1, end: 'ECONNREFUSED' },
    { at: 102, took: 1000, end: 'served' },
    { at: 103, took: 3, end: 'ECONNRESET' },
    { at: 104, took: 2000, end: 'silence' },
    { at: 110, took: 2, end: 'moved' },
    { at: 115, took: 1, end: 'served' },
    { at: 250, took: 1, end: 'ECONNREFUSED' },
  ],
  lost: [],
  silences: [
    { from: 20, to: 80 },
    { from: 95, to: 145 },
    { from: 120, to: 190 },
    { from: 220, to: 400 },
  ],
};

test('a flush has the attempts of its time, each by how it ended, and the longest silence that overlaps it', () => {
  assert.deepEqual(outcomeOf(STEADY, { gone: 100, back: 108, from: 95, to: 200 }), {
    back: 8,
    served: 12,
    refused: 2,
    failed: 2,
    late: 1,
    moved: 1,
    silence: 70,
  });
});

test('whoever began before the flush is not the first that is served after it', () => {
  assert.equal(
    firstServed(STEADY.attempts, 80, ({ end }) => end === 'served'),
    11,
  );
  assert.equal(
    firstServed(STEADY.attempts, 91, ({ end }) => end === 'served'),
    25,
  );
});

test('nobody served is told apart from served at once', () => {
  const nobody = outcomeOf(STEADY, { gone: 240, back: 240, from: 235, to: 300 });
  assert.deepEqual([nobody.served, nobody.refused, nobody.silence], [null, 1, 180]);
});
