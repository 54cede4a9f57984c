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

export function intersect(a: Intervals, b: Intervals): Intervals {
  const out: Interval[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [left, right] = [a[i], b[j]];
    if (left === undefined || right === undefined) break;
    const from = left[0] > right[0] ? left[0] : right[0];
    const to = left[1] < right[1] ? left[1] : right[1];
    if (from <= to) out.push([from, to]);
    if (left[1] < right[1]) i++;
    else j++;
  }
  return out;
}

export function subtract(a: Intervals, b: Intervals): Intervals {
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
export function addressTexts(family: Family, set: Intervals): readonly string[] {
  return set.map(([from, to]) => {
    const first = formatIp(family, from);
    if (from === to) return first;
    const size = to - from + 1n;
    const bits = size.toString(2).length - 1;
    const isPrefix = size === 1n << BigInt(bits) && from % size === 0n;
    return isPrefix ? `${first}/${bitsOf(family) - bits}` : `${first}-${formatIp(family, to)}`;
  });
}
