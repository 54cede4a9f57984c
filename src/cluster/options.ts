import type { Clock, Logger } from '../base/clock.ts';
import type { Store } from '../contracts/store.ts';
import type { Network } from '../model/network.ts';
import type { ClusterNode, NodePart } from '../model/node.ts';
import type { SegmentPool } from './segments.ts';
import type { Sleep } from './time.ts';

export interface StoreClusterOptions {
  /** Below the cluster's prefix. It stays the caller's to close, after the cluster: closing it leaves leases to their time to live. */
  readonly store: Store;
  /** For people: where the store is. */
  readonly url: string;
  readonly node: ClusterNode;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What this node tells of its part of a network. Asked whenever the entry is written, and after `refresh`. */
  readonly part: (network: Network) => NodePart;
  /** What `keep` was last given, also by an earlier life; null: nothing. */
  readonly kept: string | null;
  /** Puts it on this node's own disk. */
  readonly keep: (text: string) => Promise<void>;
  /** Milliseconds after which the others take this node for dead. */
  readonly nodeTtlMs?: number;
  /** Milliseconds for which a node that is away keeps its subnets. */
  readonly subnetTtlMs?: number;
  /** What subnets come out of that nobody asks for, of networks that are one segment on all nodes. */
  readonly segmentPools?: readonly SegmentPool[];
  /** The same store below another prefix, for networks in flannel's layout. Closed by the cluster. */
  readonly openPrefix?: (prefix: string) => Promise<Store>;
  readonly sleep?: Sleep;
  /** 0 to 1. */
  readonly random?: () => number;
}
