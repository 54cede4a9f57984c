import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import protobufjs from 'protobufjs';
import { bool, bytes, int, int64, message, nested, repeated, string } from './protobuf.ts';

const Inner = message({ id: int64(1), text: string(2) });
const Outer = message({
  count: int(1),
  id: int64(2),
  flag: bool(3),
  data: bytes(4),
  name: string(5),
  inner: nested(6, Inner),
  list: repeated(16, Inner),
});

/** The same in another's hands. */
const oracle = protobufjs
  .parse(
    `syntax = "proto3";
   message Inner { int64 id = 1; string text = 2; }
   message Outer { int64 count = 1; int64 id = 2; bool flag = 3; bytes data = 4; string name = 5; Inner inner = 6; repeated Inner list = 16; }`,
  )
  .root.lookupType('Outer');

const int64s = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0n, 1n, -1n, 127n, 128n, 2n ** 49n - 1n, 2n ** 49n, 2n ** 63n - 1n, -(2n ** 63n)),
);
const counts = fc.oneof(fc.maxSafeInteger(), fc.constantFrom(0, 1, -1, 127, 128, 2 ** 49 - 1, 2 ** 49, Number.MAX_SAFE_INTEGER));
const inner = fc.record({ id: int64s, text: fc.string({ unit: 'grapheme' }) }, { noNullPrototype: true });
const outer = fc.record({
  count: counts,
  id: int64s,
  flag: fc.boolean(),
  data: fc.uint8Array(),
  name: fc.string({ unit: 'grapheme' }),
  inner: fc.option(inner, { nil: undefined }),
  list: fc.array(inner, { maxLength: 4 }),
});
type Plain = typeof outer extends fc.Arbitrary<infer T> ? T : never;

/** Numbers of 64 bits are text in JSON. */
const plainInner = ({ id, text }: { readonly id: bigint; readonly text: string }): object => ({ id: id.toString(), text });
const plain = ({ count, id, flag, data, name, inner: one, list }: Plain): object => ({
  count: String(count),
  id: id.toString(),
  flag,
  data: Buffer.from(data).toString('base64'),
  name,
  ...(one ? { inner: plainInner(one) } : {}),
  list: list.map(plainInner),
});

test('what we write, another reads, and the reverse', () => {
  fc.assert(
    fc.property(outer, (value) => {
      const read = oracle.toObject(oracle.decode(Outer.encode(value)), {
        longs: String,
        bytes: String,
        defaults: true,
        arrays: true,
      }) as Record<string, unknown>;
      if (read['inner'] === null) delete read['inner'];
      assert.deepEqual(read, plain(value));
      const theirs = oracle.encode(oracle.fromObject(plain(value))).finish();
      const ours = Outer.decode(theirs);
      assert.deepEqual({ ...ours, data: Uint8Array.from(ours.data) }, { ...value, data: Uint8Array.from(value.data) });
    }),
  );
});

test('bytes as the specification shows them', () => {
  // protobuf.dev/programming-guides/encoding: 150 in field 1; "testing" in a string; -2 as ten bytes.
  assert.deepEqual([...message({ a: int(1) }).encode({ a: 150 })], [0x08, 0x96, 0x01]);
  assert.deepEqual([...message({ b: string(2) }).encode({ b: 'testing' })], [0x12, 0x07, ...Buffer.from('testing')]);
  assert.deepEqual(
    [...message({ a: int(1) }).encode({ a: -2 })],
    [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  );
  assert.deepEqual([...message({ c: nested(3, message({})) }).encode({ c: {} })], [0x1a, 0x00], 'an empty message is there');
  assert.deepEqual([...Outer.encode({ count: 0, flag: false, name: '', data: '' })], [], 'defaults are not');
});

test('what is unknown, or of another wire type, is skipped', () => {
  const Small = message({ a: int(1) });
  // Field 2 as varint, fixed64, bytes and fixed32; field 1 as bytes; then field 1.
  const text = Buffer.from([0x10, 1, 0x11, ...Array<number>(8).fill(9), 0x12, 2, 7, 7, 0x15, 9, 9, 9, 9, 0x0a, 1, 5, 0x08, 42]);
  assert.deepEqual(Small.decode(text), { a: 42 });
});

test('no bytes make the decoder do anything but return or throw a RangeError', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 60 }),
        outer.map((value) => Uint8Array.from(Outer.encode(value))),
      ),
      fc.nat(),
      fc.nat(255),
      (given, at, byte) => {
        const text = Uint8Array.from(given);
        if (text.length > 0) text[at % text.length] = byte;
        try {
          Outer.decode(text);
        } catch (error) {
          assert.ok(error instanceof RangeError, String(error));
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test('refused: cut fields, endless varints, revisions beyond 2^53', () => {
  const Small = message({ a: int(1), b: bytes(2) });
  assert.throws(() => Small.decode(Buffer.from([0x08])), /ends within a field/);
  assert.throws(() => Small.decode(Buffer.from([0x12, 5, 1])), /a field of 5 bytes where 1 are left/);
  assert.throws(() => Small.decode(Buffer.from([0x08, ...Array<number>(11).fill(0xff)])), /more than 10 bytes/);
  assert.throws(() => Small.decode(Buffer.from([0x0b])), /wire type 3/);
  assert.throws(() => Small.decode(message({ a: int64(1) }).encode({ a: 2n ** 53n })), /beyond 2\^53/);
});
