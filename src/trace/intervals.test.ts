import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ipValue, parseIp } from '../base/ip.ts';
import { addressTexts, equal, intersect, type Intervals, intervals, sizeOf, subtract, union } from './intervals.ts';

const SEED = 20261130;
const MOST = 40;

const few = { most: MOST, maxLength: 8 };
/** Long enough to be looked through, not walked through. */
const many = { most: 2000, maxLength: 300 };

const arbitrary = fc
  .oneof(
    ...[few, many].map(({ most, maxLength }) =>
      fc.array(fc.tuple(fc.integer({ min: 0, max: most }), fc.integer({ min: 0, max: 6 })), { maxLength, size: 'max' }),
    ),
  )
  .map((list) => intervals(list.map(([from, size]) => [BigInt(from), BigInt(from + size)] as const)));

/** The same set, number by number. */
function members(set: Intervals): ReadonlySet<bigint> {
  const all = new Set<bigint>();
  for (const [from, to] of set) for (let value = from; value <= to; value++) all.add(value);
  return all;
}

test('sets of intervals are sets', () => {
  fc.assert(
    fc.property(arbitrary, arbitrary, (a, b) => {
      const [left, right] = [members(a), members(b)];
      assert.deepEqual(members(intersect(a, b)), left.intersection(right));
      assert.deepEqual(members(subtract(a, b)), left.difference(right));
      assert.equal(sizeOf(union(a, b)), BigInt(left.union(right).size));
      for (const set of [intersect(a, b), subtract(a, b), union(a, b)]) {
        assert.ok(equal(set, intervals(set)));
        for (const [at, [from]] of set.entries()) if (at > 0) assert.ok(from > (set[at - 1]?.[1] ?? 0n) + 1n);
      }
    }),
    { seed: SEED, numRuns: 500 },
  );
});

test('addresses as people write them', () => {
  const value = (text: string): bigint => ipValue(parseIp(text));
  const set = intervals([
    [value('10.0.0.0'), value('10.255.255.255')],
    [value('192.0.2.7'), value('192.0.2.7')],
    [value('192.0.2.9'), value('192.0.2.10')],
    [value('192.0.2.12'), value('192.0.2.13')],
  ]);
  assert.deepEqual(addressTexts(4, set), ['10.0.0.0/8', '192.0.2.7', '192.0.2.9-192.0.2.10', '192.0.2.12/31']);
  assert.deepEqual(addressTexts(6, [[value('fd00::'), value('fd00::ffff')]]), ['fd00::/112']);
});
