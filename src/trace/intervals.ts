/** Sets of numbers (addresses, ports) as intervals: both ends included, ascending, with gaps between them. */
import { bitsOf, type Family, formatIp } from '../base/ip.ts';

export type Interval = readonly [from: bigint, to: bigint];
export type Intervals = readonly Interval[];

export const one = (value: bigint): Intervals => [[value, value]];

/** In any order, overlapping or not -> the normal form. */
export function intervals(list: readonly Interval[]): Intervals {
  const out: [bigint, bigint][] = [];
  for (const [from, to] of list.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
    const last = out.at(-1);
    if (last !== undefined && from <= last[1] + 1n) last[1] = to > last[1] ? to : last[1];
    else out.push([from, to]);
  }
  return out;
}

/** Index of the first interval that ends at or behind a number. */
function firstFrom(set: Intervals, value: bigint): number {
  let [low, high] = [0, set.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((set[middle]?.[1] ?? 0n) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What of `b` can touch `a`: a subnet meets little of a long list. */
function near(a: Intervals, b: Intervals): Intervals {
  const [first, last] = [a[0], a.at(-1)];
  if (first === undefined || last === undefined || b.length < SHORT) return b;
  return b.slice(firstFrom(b, first[0]), firstFrom(b, last[1]) + 1);
}

/** Below it looking is not worth it. */
const SHORT = 64;

export function intersect(left: Intervals, right: Intervals): Intervals {
  const [a, b] = [near(right, left), near(left, right)];
  const out: Interval[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [one, other] = [a[i], b[j]];
    if (one === undefined || other === undefined) break;
    const from = one[0] > other[0] ? one[0] : other[0];
    const to = one[1] < other[1] ? one[1] : other[1];
    if (from <= to) out.push([from, to]);
    if (one[1] < other[1]) i++;
    else j++;
  }
  return out;
}

export function subtract(a: Intervals, without: Intervals): Intervals {
  const b = near(a, without);
  const out: Interval[] = [];
  let j = 0;
  for (const [from, to] of a) {
    let start = from;
    while (j < b.length && (b[j]?.[1] ?? 0n) < start) j++;
    for (let k = j; k < b.length; k++) {
      const [cut, end] = b[k] ?? [0n, 0n];
      if (cut > to) break;
      if (cut > start) out.push([start, cut - 1n]);
      start = end + 1n;
    }
    if (start <= to) out.push([start, to]);
  }
  return out;
}

export const union = (a: Intervals, b: Intervals): Intervals => intervals([...a, ...b]);
export const isEmpty = (a: Intervals): boolean => a.length === 0;
export const equal = (a: Intervals, b: Intervals): boolean =>
  a.length === b.length && a.every(([from, to], at) => from === b[at]?.[0] && to === b[at]?.[1]);

export const sizeOf = (a: Intervals): bigint => a.reduce((sum, [from, to]) => sum + to - from + 1n, 0n);

/** The number of a set of one; null for any other. */
export const sole = (a: Intervals): bigint | null =>
  a.length === 1 && a[0] !== undefined && a[0][0] === a[0][1] ? a[0][0] : null;

/** Addresses as prefixes and ranges: `10.0.0.0/8`, `192.0.2.7`, `192.0.2.1-192.0.2.5`. */
/** @param most further ones are left out */
export function addressTexts(family: Family, set: Intervals, most = Number.POSITIVE_INFINITY): readonly string[] {
  return set.slice(0, most).map(([from, to]) => {
    const first = formatIp(family, from);
    if (from === to) return first;
    const size = to - from + 1n;
    const bits = size.toString(2).length - 1;
    const isPrefix = size === 1n << BigInt(bits) && from % size === 0n;
    return isPrefix ? `${first}/${bitsOf(family) - bits}` : `${first}-${formatIp(family, to)}`;
  });
}
