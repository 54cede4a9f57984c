/** Order in which people expect names with numbers: `net2` before `net10`. */

const PARTS = /\d+|\D+/g;

export function compareNatural(a: string, b: string): number {
  const left = a.match(PARTS) ?? [];
  const right = b.match(PARTS) ?? [];
  for (const [i, part] of left.entries()) {
    const other = right[i];
    if (other === undefined) return 1;
    if (part === other) continue;
    if (/^\d/.test(part) && /^\d/.test(other)) {
      const difference = BigInt(part) - BigInt(other);
      if (difference !== 0n) return difference < 0n ? -1 : 1;
      // Equal numbers: fewer leading zeros first.
      return part.length - other.length;
    }
    return part < other ? -1 : 1;
  }
  return left.length - right.length;
}
