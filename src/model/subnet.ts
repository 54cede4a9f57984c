/** Which addresses of a subnet a host can have. */
import { bitsOf, familyOf, type IpAddress, ipValue, lengthOf, type Prefix, prefixRange } from '../base/ip.ts';

/**
 * First and last address that a host can have. Not the network and the broadcast address of an IPv4 subnet, except in /31 and
 * /32 (RFC 3021); not the subnet-router anycast address of IPv6 (RFC 4291 section 2.6.1), except in /127 and /128 (RFC 6164).
 */
export function usableRange(subnet: Prefix): { readonly first: bigint; readonly last: bigint } {
  const { family, first, last } = prefixRange(subnet);
  if (lengthOf(subnet) >= bitsOf(family) - 1) return { first, last };
  return { first: first + 1n, last: family === 4 ? last - 1n : last };
}

/** Why no host can have this address of the subnet; null: one can. Precondition: the subnet contains it. */
export function reservedFor(subnet: Prefix, address: IpAddress): string | null {
  const { first, last } = usableRange(subnet);
  const value = ipValue(address);
  if (value < first)
    return familyOf(subnet) === 4 ? `the network address of ${subnet}` : `the subnet-router anycast address of ${subnet}`;
  return value > last ? `the broadcast address of ${subnet}` : null;
}
