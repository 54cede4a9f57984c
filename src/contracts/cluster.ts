/** Networks that span hosts: what the engine asks of the cluster. Implemented by `cluster/`, over a store or a file of peers. */
import type { Id } from '../base/ids.ts';
import type { Network } from '../model/network.ts';
import type { ClusterNode, Peer } from '../model/node.ts';

/** A network as this node has it. */
export interface ClusterNetwork {
  /** `ranges` is the whole of it, `pools` what this node has leased: none while it could not lease any yet. */
  readonly network: Network;
  /** In order of their names. The same array until something changes. */
  readonly peers: readonly Peer[];
}

/** Level-triggered: look again, do not trust the details. */
export type ClusterEvent =
  | { readonly type: 'network' | 'peers' | 'removed'; readonly network: Id }
  | { readonly type: 'nodes' }
  /** The store is reached again, or not any more. */
  | { readonly type: 'store'; readonly reachable: boolean };

export interface ClusterStatus {
  readonly self: ClusterNode;
  /** With this one, in order of their names. */
  readonly nodes: readonly ClusterNode[];
  /** `error`: why it is not reached, or why this node is not registered; '' when all is well. */
  readonly store: { readonly url: string; readonly reachable: boolean; readonly error: string };
}

/** Disposing stops it without leaving: what this node has leased stays its own for the time to live, so that a restart is not seen. */
export interface Cluster extends AsyncDisposable {
  readonly status: () => ClusterStatus;
  /** What is known now. While the store is away: what was known last, also from before a restart. */
  readonly networks: () => readonly ClusterNetwork[];
  readonly subscribe: (listener: (event: ClusterEvent) => void) => () => void;
  /**
   * Makes a network known to all nodes and leases this node's part.
   * @param network with `ranges`, without pools
   * @throws conflict for a name that another network of the cluster has; invalid for options that cannot be; exhausted when no subnet
   * is free; unavailable without the store.
   */
  readonly create: (network: Network) => Promise<ClusterNetwork>;
  /** @throws unavailable without the store; forbidden while other nodes have endpoints on it; not-found. */
  readonly remove: (network: Id) => Promise<void>;
  /** What this node tells of its part of the network (`NodePart`) has changed: it is asked for again, and told, now or when it can be. */
  readonly refresh: (network: Id) => void;
  /** This node leaves for good: what it has leased is given back now, and the others see it go. Nothing but disposing may follow. */
  readonly leave: () => Promise<void>;
}
