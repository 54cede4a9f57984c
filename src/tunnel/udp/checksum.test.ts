import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fold, fold16, sum16 } from './checksum.ts';

/** RFC 1071, word by word. */
function plain(bytes: Uint8Array, start: number): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i] ?? 0) * 256 + (bytes[i + 1] ?? 0);
    sum = (sum & 0xffff) + (sum >>> 16);
  }
  return sum;
}

test('equals the sum of RFC 1071, at any length and place', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4000 }), fc.nat({ max: 8 }), fc.nat({ max: 0xffff }), (bytes, at, start) => {
      const buffer = new Uint8Array(at + bytes.length);
      buffer.set(bytes, at);
      const got = sum16(new DataView(buffer.buffer), at, { length: bytes.length, start });
      const wanted = plain(bytes, start);
      // Two ways to write nothing.
      assert.equal(got % 0xffff, wanted % 0xffff);
      assert.equal(got === 0, wanted === 0);
    }),
  );
});

test('the largest packet of ones does not overflow', () => {
  assert.equal(sum16(new DataView(new Uint8Array(65_536).fill(255).buffer), 0, { length: 65_536, start: 0xffff }), 0xffff);
  assert.equal(fold(2 ** 48), 1);
  for (const sum of [0, 1, 0xffff, 0x10000, 0x1ffff, 0x4fffb, 2 ** 31 - 1]) assert.equal(fold16(sum), fold(sum));
});
