/** The Internet checksum (RFC 1071) over parts of an arena. Pure. */

/** @param length bytes; an odd last byte counts as the high one of its word @param start a sum to go on from */
export interface SumOptions {
  readonly length: number;
  readonly start: number;
}

/**
 * Sum of 16-bit words in network order, folded to 16 bits, not complemented. Words of 32 bits are added up (2^16 is 1 modulo 2^16 - 1), exactly: a
 * packet has at most 2^14 of them, and a number holds 2^53. Four sums at once, because an addition depends on the one before.
 */
export function sum16(view: DataView, at: number, { length, start }: SumOptions): number {
  let a = start;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = at;
  for (const end = at + (length & ~15); i < end; i += 16) {
    a += view.getUint32(i);
    b += view.getUint32(i + 4);
    c += view.getUint32(i + 8);
    d += view.getUint32(i + 12);
  }
  const stop = at + length;
  for (; i + 1 < stop; i += 2) a += view.getUint16(i);
  if (i < stop) a += view.getUint8(i) * 256;
  return fold(a + b + c + d);
}

/** Adds carries back until 16 bits are left. @param sum below 2^53 */
export function fold(sum: number): number {
  let value = sum;
  while (value > 0xffff) value = (value % 0x10000) + Math.floor(value / 0x10000);
  return value;
}

/** The same for a sum below 2^31, by whole numbers only. */
export function fold16(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}
