/** Where subnets come from when neither the user nor the configuration says. */
import { createHash } from 'node:crypto';
import { invalid } from '../../base/errors.ts';
import { bitsOf, familyOf, formatIp, lengthOf, type Prefix } from '../../base/ip.ts';

/** A prefix that is cut into subnets of one length. */
export interface AddressPool {
  readonly base: Prefix;
  /** Length of each subnet, in bits. */
  readonly size: number;
}

/** @throws invalid unless subnets of the size lie inside the base. */
export function checkAddressPool({ base, size }: AddressPool): void {
  const most = bitsOf(familyOf(base));
  if (!Number.isInteger(size) || size < lengthOf(base) || size > most) {
    throw invalid(`invalid default address pool ${base}: its subnets are /${size}, they must be /${lengthOf(base)} to /${most}`);
  }
}

const pool = (base: string, size: number): AddressPool => ({ base: base as Prefix, size });

/**
 * Docker's 31 pools in Docker's order (moby, libnetwork/ipamutils), then 3,840 of 254 addresses each.
 *
 * The small ones lie in 10.225.0.0 to 10.239.255.255. Out of 10.0.0.0/9, where sites number their own networks and where the
 * overlay's global pool begins; and beside what others take by default in the upper half: Google's automatic subnets
 * (10.128.0.0/9, handed out from below), Azure's AKS nodes (10.224.0.0/16), older AKS nodes and GCE networks (10.240.0.0/16),
 * flannel's and kubeadm's pods (10.244.0.0/16), Kubernetes' older service range (10.254.0.0/16). A range that the host itself
 * has a route to is skipped anyway; this is about those behind its default route.
 */
export const DEFAULT_POOLS: readonly AddressPool[] = [
  pool('172.17.0.0/16', 16),
  pool('172.18.0.0/16', 16),
  pool('172.19.0.0/16', 16),
  pool('172.20.0.0/14', 16),
  pool('172.24.0.0/14', 16),
  pool('172.28.0.0/14', 16),
  pool('192.168.0.0/16', 20),
  pool('10.225.0.0/16', 24),
  pool('10.226.0.0/15', 24),
  pool('10.228.0.0/14', 24),
  pool('10.232.0.0/13', 24),
];

/**
 * The host's own /48 of unique local addresses, cut into /64: as many networks as there are subnet ids (RFC 4193 section 3).
 * Derived, so that the networks of a host keep their prefix when its state is lost, and lie together in routing tables.
 * @param hostId what tells this host (and instance) from others, such as the machine id; it cannot be read back from the result.
 */
export function ulaPool(hostId: string): AddressPool {
  const digest = createHash('sha256').update(`moorline ula\0${hostId}`).digest();
  // fd00::/8, then the 40-bit global id; 80 bits of subnet and interface follow.
  const value = (0xfdn << 120n) | (BigInt(`0x${digest.subarray(0, 5).toString('hex')}`) << 80n);
  return { base: `${formatIp(6, value)}/48` as Prefix, size: 64 };
}
