/** Networks that span hosts: what the engine asks of the cluster. Implemented by `cluster/`, over a store or a file of peers. */
import type { Id } from '../base/ids.ts';
import type { IpAddress, Prefix } from '../base/ip.ts';
import type { Network } from '../model/network.ts';
import type { ClusterNode, LocalEndpoint, Peer, RemoteEndpoint } from '../model/node.ts';

/** A network as this node has it. */
export interface ClusterNetwork {
  /** `ranges` is the whole of it, `pools` what this node has leased: none while it could not lease any yet. */
  readonly network: Network;
  /** In order of their names. The same array until something changes. */
  readonly peers: readonly Peer[];
  /**
   * Endpoints on other hosts that are alive, by id; known while this node takes part (`tell`), empty otherwise. The same map until
   * something changes, and the same objects for what has not: comparing them by identity finds what has.
   */
  readonly endpoints: ReadonlyMap<Id, RemoteEndpoint>;
}

/** An address of a network that is one segment on all hosts. */
export interface AddressClaim {
  /** One of the network's. */
  readonly subnet: Prefix;
  /** What a free one comes out of; absent: the subnet. */
  readonly range?: Prefix;
  /** Exactly this one; absent: a free one. */
  readonly address?: IpAddress;
  /** An endpoint of this host, or a role that is the network's (`gateway`, `aux:name`): asking again gets the same answer. */
  readonly owner: string;
}

/** Addresses of networks that are one segment on all hosts: none is given twice, whoever asks at the same moment. */
export interface ClusterAddresses {
  /** @throws conflict `Address already in use`; exhausted; unavailable without the store; unsupported in a cluster without one. */
  readonly claim: (network: Id, claim: AddressClaim) => Promise<IpAddress>;
  /** After a start: this host has it, from before. Never waits for the store; made certain when that can be. */
  readonly hold: (network: Id, address: IpAddress, claim: Pick<AddressClaim, 'subnet' | 'owner'>) => void;
  /** Idempotent. While the store is away it is noted, and done when it is back. */
  readonly release: (network: Id, address: IpAddress) => Promise<void>;
}

/** Level-triggered: look again, do not trust the details. */
export type ClusterEvent =
  | { readonly type: 'network' | 'peers' | 'endpoints' | 'removed'; readonly network: Id }
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
  /** Where the others reach this node has changed: they are told now, or when they can be. Cheap when it has not. */
  readonly move: (to: Pick<ClusterNode, 'addresses' | 'mtu'>) => void;
  /**
   * This node has this endpoint now; told again when something of it changed. As long as it has one, it takes part in the network: it
   * sees the endpoints of others. Never waits for the store: what cannot be told now is told when it can be.
   */
  readonly tell: (network: Id, endpoint: LocalEndpoint) => void;
  /** `endpoints`, of a network that this node does not take part in as well: then the store is asked. While that is away: what is known. */
  readonly lookUp: (network: Id) => Promise<ReadonlyMap<Id, RemoteEndpoint>>;
  /** It has not any more. Idempotent. */
  readonly untell: (network: Id, endpoint: Id) => void;
  readonly addresses: ClusterAddresses;
  /**
   * After a start: all that this host has was told and held. What else stands in its name is an earlier life's, and is removed.
   * @returns when `endpoints` of the networks that it takes part in are there, or when the store is away, soon
   */
  readonly complete: () => Promise<void>;
  /** This node leaves for good: what it has leased is given back now, and the others see it go. Nothing but disposing may follow. */
  readonly leave: () => Promise<void>;
}
