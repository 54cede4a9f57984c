/** Which addresses could be claimed: no pool is gone through, only what is taken of it in a row. */
import { familyOf, formatIp, type IpAddress, ipValue, type Prefix, prefixRange } from '../base/ip.ts';
import { usableRange } from '../model/subnet.ts';

export interface Search {
  readonly isTaken: (address: IpAddress) => boolean;
  /** The search goes on behind it, and begins anew at the end. */
  readonly last: IpAddress | undefined;
  /** At most. */
  readonly count: number;
}

/** Free addresses of the range in the order in which they would be given; fewer than asked for when there are no more. */
export function candidates(
  { subnet, range }: { readonly subnet: Prefix; readonly range?: Prefix },
  { isTaken, last, count }: Search,
): readonly IpAddress[] {
  const family = familyOf(subnet);
  const usable = usableRange(subnet);
  const part = prefixRange(range ?? subnet);
  const first = part.first > usable.first ? part.first : usable.first;
  const end = part.last < usable.last ? part.last : usable.last;
  const from = last === undefined ? first : ipValue(last) + 1n;
  const start = from < first || from > end ? first : from;
  const free: IpAddress[] = [];
  for (let value = start; value <= end && free.length < count; value++) add(value);
  for (let value = first; value < start && free.length < count; value++) add(value);
  return free;

  function add(value: bigint): void {
    const address = formatIp(family, value);
    if (!isTaken(address)) free.push(address);
  }
}
