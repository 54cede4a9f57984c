/**
 * Address management. A driver of it keeps only what it can rebuild: the engine replays pools and addresses of the stored
 * networks and endpoints at start, so there is one source of truth and nothing to leak.
 */
import type { Id } from '../base/ids.ts';
import type { Family, IpAddress, Prefix } from '../base/ip.ts';

/** What the caller wants of a pool. */
export interface PoolWish {
  readonly family: Family;
  /** Exactly this subnet. */
  readonly subnet?: Prefix;
  /** Any free subnet of this length in bits (`--subnet 0.0.0.0/24`). Ignored when `subnet` is given. */
  readonly length?: number;
  readonly range?: Prefix;
  /** Network that owns the pool: a retry by the same owner gets the same answer; errors name owners. */
  readonly owner: string;
  /** Its id, where it has one: what its addresses are claimed by, in a cluster. */
  readonly network?: Id;
  /** Prefixes of the host's routing table that an automatic pool must not overlap. */
  readonly avoid: readonly Prefix[];
}

export interface AddressWish {
  readonly subnet: Prefix;
  /** Exactly this address; absent: the next free one, least recently used. */
  readonly address?: IpAddress;
  /** Endpoint or role (`gateway`, `aux:name`) that holds the address; idempotent per owner. */
  readonly owner: string;
  /**
   * At start, for an `address` that was given out without being asked for: the order goes on behind it, so that an address
   * released before the restart is not the next one given out.
   */
  readonly restored?: boolean;
}

export interface AddressRelease {
  /**
   * It was never in use, for the operation that asked for it was only tried (a dry run), or undone: the next free address is the one
   * that it would have been without that operation.
   */
  readonly unused?: boolean;
}

export interface PoolUse {
  readonly subnet: Prefix;
  readonly owner: string;
  /** Addresses in use; `size` counts those an endpoint could get. */
  readonly used: bigint;
  readonly size: bigint;
}

export interface IpamDriver {
  readonly type: string;
  /**
   * @throws conflict `Pool overlaps with other one on this address space` for a wished subnet in use;
   * exhausted when no automatic pool is free, naming the networks that hold what; invalid for a bad length or range.
   */
  readonly requestPool: (wish: PoolWish) => Promise<Prefix>;
  /** Idempotent. Releases the pool's addresses too. */
  readonly releasePool: (subnet: Prefix, owner: string) => Promise<void>;
  /**
   * @throws conflict `Address already in use` for a wished address held by another owner; exhausted when none is free; invalid
   * for an address outside the subnet, or its network or broadcast address.
   */
  readonly requestAddress: (wish: AddressWish) => Promise<IpAddress>;
  /** Idempotent. */
  readonly releaseAddress: (subnet: Prefix, address: IpAddress, options?: AddressRelease) => Promise<void>;
  readonly usage: () => readonly PoolUse[];
  /**
   * Where the order goes on in a subnet, for the engine to keep over a restart; null before the first address that nobody named.
   * Absent, and `resume` with it, where the order outlives the daemon by itself.
   */
  readonly turn?: (subnet: Prefix) => IpAddress | null;
  /** At start, behind what the subnet's holders have: the order goes on there, whatever is held. */
  readonly resume?: (subnet: Prefix, turn: IpAddress) => void;
}
