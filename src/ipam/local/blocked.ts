/** The host's routes as places where no automatic subnet may lie. */
import { lengthOf, type Prefix, prefixRange } from '../../base/ip.ts';

export interface Blocked {
  /** What was given, without default routes. */
  readonly prefixes: readonly Prefix[];
  /** Last address of the blocked stretch that the subnet runs into; null when it is free of them. */
  readonly endOf: (subnet: Prefix) => bigint | null;
}

/**
 * Default routes do not count, nor their two halves, which OpenVPN and WireGuard set to override one (0.0.0.0/1 and
 * 128.0.0.0/1): they say where everything else goes, not what is there.
 * @param prefixes of one family, in any order, overlapping or not.
 */
export function blockedBy(prefixes: readonly Prefix[]): Blocked {
  const counted = prefixes.filter((prefix) => lengthOf(prefix) > 1);
  // Merged, so that one binary search finds the only candidate.
  const stretches: { first: bigint; last: bigint }[] = [];
  for (const { first, last } of counted.map(prefixRange).sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    const before = stretches.at(-1);
    if (!before || first > before.last) stretches.push({ first, last });
    else if (last > before.last) before.last = last;
  }
  const endOf = (subnet: Prefix): bigint | null => {
    const { first, last } = prefixRange(subnet);
    let low = 0;
    let high = stretches.length;
    // The first stretch that does not end before the subnet.
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((stretches[middle]?.last ?? 0n) < first) low = middle + 1;
      else high = middle;
    }
    const stretch = stretches[low];
    return stretch && stretch.first <= last ? stretch.last : null;
  };
  return { prefixes: counted, endOf };
}
