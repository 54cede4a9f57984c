import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Family, formatIp, type Prefix, prefixesOverlap, prefixOf, prefixRange } from '../../base/ip.ts';
import { PrefixTree } from './prefixtree.ts';

/** Prefixes crowded into the first 10 bits of a base, so that they meet often. */
const BASES = { 4: { first: 0xac100000n, length: 12 }, 6: { first: 0xfd00n << 112n, length: 48 } } as const;
const DEPTH = 10;

function crowded(family: Family): fc.Arbitrary<Prefix> {
  const { first, length } = BASES[family];
  const bits = family === 4 ? 32 : 128;
  return fc
    .tuple(fc.integer({ min: 0, max: 2 ** DEPTH - 1 }), fc.integer({ min: 0, max: DEPTH }))
    .map(([at, more]) => prefixOf(formatIp(family, first + (BigInt(at) << BigInt(bits - length - DEPTH))), length + more));
}

/** What the tree must answer, the slow way: every block of the length, from below. */
function lowestFree(
  base: Prefix,
  question: { readonly length: number; readonly from: bigint; readonly used: ReadonlySet<Prefix> },
): Prefix | null {
  const { family, first, last } = prefixRange(base);
  const block = 1n << BigInt((family === 4 ? 32 : 128) - question.length);
  for (let value = first; value <= last; value += block) {
    const candidate = prefixOf(formatIp(family, value), question.length);
    if (value >= question.from && ![...question.used].some((prefix) => prefixesOverlap(prefix, candidate))) return candidate;
  }
  return null;
}

for (const family of [4, 6] as const) {
  test(`IPv${family}: agrees with a search through all prefixes`, () => {
    const operation = fc.oneof(
      fc.record({ type: fc.constant('toggle' as const), prefix: crowded(family) }),
      fc.record({ type: fc.constant('find' as const), base: crowded(family), more: fc.nat({ max: 4 }), from: crowded(family) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const tree = new PrefixTree(family);
        const used = new Set<Prefix>();
        for (const step of operations) {
          if (step.type === 'find') {
            const length = Number(step.base.split('/')[1]) + step.more;
            const from = prefixRange(step.from).first;
            assert.equal(tree.firstFree(step.base, length, from), lowestFree(step.base, { length, from, used }));
            continue;
          }
          const { prefix } = step;
          const overlap = [...used].filter((other) => prefixesOverlap(other, prefix));
          const answer = tree.overlapping(prefix);
          if (overlap.length === 0) assert.equal(answer, null);
          else assert.ok(answer !== null && overlap.includes(answer));
          if (used.delete(prefix)) tree.remove(prefix);
          else if (overlap.length === 0) {
            tree.insert(prefix);
            used.add(prefix);
          } else tree.remove(prefix);
        }
        for (const prefix of used) tree.remove(prefix);
        assert.equal(
          tree.firstFree('::/0' as Prefix, 0, 0n) ?? tree.firstFree('0.0.0.0/0' as Prefix, 0, 0n),
          `${formatIp(family, 0n)}/0`,
        );
      }),
      { numRuns: 300, seed: 1 },
    );
  });
}
