import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MoorError } from '../base/errors.ts';
import { arbitraryOf } from './arbitrary.ts';
import { attr, attributes, choice } from './attributes.ts';
import { sourceOf, Writer } from './bytes.ts';
import { type Codec, text, u32 } from './codec.ts';
import { address } from './netlink/address.ts';
import { flow } from './netlink/conntrack.ts';
import { nlmsgerrAttributes } from './netlink/header.ts';
import { link } from './netlink/link.ts';
import { neighbour } from './netlink/neighbour.ts';
import { nftGeneration, nftObject } from './netlink/nftables.ts';
import { nsid } from './netlink/nsid.ts';
import { route } from './netlink/route.ts';
import { rule } from './netlink/rule.ts';

const CODECS: Readonly<Record<string, Codec<unknown>>> = {
  link,
  address,
  route,
  rule,
  neighbour,
  nsid,
  flow,
  nftGeneration,
  nftObject,
  nlmsgerrAttributes,
};
const SEED = 20260117;

function encode(codec: Codec<unknown>, value: unknown): Uint8Array {
  const out = new Writer(8);
  codec.write(out, value);
  return out.finish();
}

const decode = (codec: Codec<unknown>, bytes: Uint8Array): unknown => codec.read(sourceOf(bytes), 0, bytes.length);

for (const [name, codec] of Object.entries(CODECS)) {
  describe(`${name} messages`, () => {
    test('come back as they were, unknown attributes too, and have one encoding', () => {
      fc.assert(
        fc.property(arbitraryOf(codec), (value) => {
          const bytes = encode(codec, value);
          const back = decode(codec, bytes);
          assert.deepEqual(withoutLengths(back), withoutLengths(value));
          assert.deepEqual(encode(codec, back), bytes);
          assert.equal(typeof codec.show(back), 'string');
        }),
        { seed: SEED, numRuns: 300 },
      );
    });

    test('with changed bytes are decoded or refused, within their own bytes', () => {
      const edits = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 });
      fc.assert(
        fc.property(arbitraryOf(codec), edits, fc.tuple(fc.nat(20), fc.nat(40)), (value, changes, [cut, before]) => {
          const original = encode(codec, value);
          // The message lies inside a larger buffer, as in a receive buffer: what lies around it must make no difference.
          const around = (fill: number): { readonly bytes: Uint8Array; readonly end: number } => {
            const bytes = new Uint8Array(before + original.length + 64).fill(fill);
            bytes.set(original, before);
            for (const [at, byte] of changes) if (original.length > 0) bytes[before + (at % original.length)] = byte;
            const end = Math.max(before, before + original.length - cut);
            bytes.fill(fill, end);
            return { bytes, end };
          };
          const attempt = (fill: number): unknown => {
            const { bytes, end } = around(fill);
            try {
              return codec.read(sourceOf(bytes), before, end);
            } catch (error) {
              if (!(error instanceof MoorError)) throw error;
              return error.message;
            }
          };
          const first = attempt(0x00);
          assert.deepEqual(attempt(0xff), first);
          if (typeof first === 'string') assert.match(first, /^Cannot decode .+ at byte \d+: /);
          else assert.equal(typeof codec.show(first), 'string');
        }),
        { seed: SEED, numRuns: 1000 },
      );
    });
  });
}

/** A list writes each record's length itself. */
function withoutLengths(value: unknown): unknown {
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(withoutLengths);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !('hops' in value && key === 'length'))
      .map(([key, item]) => [key, withoutLengths(item)]),
  );
}

describe('attributes', () => {
  const table = attributes('none.h', { number: attr('X_NUMBER', 1, u32), name: attr('X_NAME', 2, text) });
  const read = (...bytes: readonly number[]): unknown => decode(table, Uint8Array.from(bytes));

  test('are padded to four bytes and may end without padding', () => {
    assert.deepEqual([...encode(table, { name: 'ab' })], [7, 0, 2, 0, 97, 98, 0, 0]);
    assert.deepEqual(read(7, 0, 2, 0, 97, 98, 0), { name: 'ab' });
  });

  const refusals: readonly (readonly [why: string, bytes: readonly number[], message: string])[] = [
    ['a length of zero', [0, 0, 1, 0], 'Cannot decode attribute at byte 0: length 0 with 4 bytes left'],
    ['a length past the end', [9, 0, 1, 0, 1, 2, 3, 4], 'Cannot decode attribute at byte 0: length 9 with 8 bytes left'],
    ['half a header', [4, 0, 9, 0, 4, 0], 'Cannot decode attribute at byte 4: 2 stray bytes'],
    ['a number that is too short', [6, 0, 1, 0, 1, 2, 0, 0], 'Cannot decode u32 at byte 4: 2 bytes instead of 4, in X_NUMBER'],
  ];
  for (const [why, bytes, message] of refusals) {
    test(`are refused for ${why}`, () => {
      assert.throws(() => read(...bytes), { name: 'MoorError', kind: 'internal', message });
    });
  }

  test('refuse numbers that do not fit, and text with a NUL', () => {
    assert.throws(() => encode(table, { number: 2 ** 32 }), /Cannot encode u32: 4294967296 is not in 0\.\.4294967295/);
    assert.throws(() => encode(table, { number: 1.5 }), /Cannot encode u32/);
    assert.throws(() => encode(table, { name: 'a\0b' }), /Cannot encode text: it holds a NUL/);
    assert.throws(() => encode(table, { name: 'x'.repeat(70_000) }), /Cannot encode X_NAME: 70005 bytes, at most 65535 fit/);
  });

  test('of one table cannot share a number', () => {
    assert.throws(() => attributes('none.h', { a: attr('A', 1, u32), b: attr('B', 1, u32) }), /B and A are both 1/);
  });

  test('by an unlisted kind, or one that comes too late, are kept as bytes', () => {
    const outer = attributes('none.h', { kind: attr('K', 1, text), data: attr('D', 2, choice('kind', { known: table })) });
    const inner = [8, 0, 1, 0, 5, 0, 0, 0];
    const data = [12, 0, 2, 128, ...inner];
    assert.deepEqual(decode(outer, Uint8Array.from([10, 0, 1, 0, ...Buffer.from('known\0'), 0, 0, ...data])), {
      kind: 'known',
      data: { type: 'known', value: { number: 5 } },
    });
    const raw = { type: '', value: Uint8Array.from(inner) };
    assert.deepEqual(decode(outer, Uint8Array.from([8, 0, 1, 0, ...Buffer.from('new\0'), ...data])), { kind: 'new', data: raw });
    assert.deepEqual(decode(outer, Uint8Array.from([...data, 10, 0, 1, 0, ...Buffer.from('known\0'), 0, 0])), {
      kind: 'known',
      data: raw,
    });
    // A name that every object has is no kind.
    assert.deepEqual(decode(outer, Uint8Array.from([16, 0, 1, 0, ...Buffer.from('constructor\0'), ...data])), {
      kind: 'constructor',
      data: raw,
    });
  });
});
