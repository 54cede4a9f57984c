/** What a kind of network is: functions from stored data and host facts to changes. No driver touches the kernel. */
import type { IpAddress } from '../base/ip.ts';
import type { Network, Scope } from '../model/network.ts';
import type { NodePart, Peer, RemoteEndpoint } from '../model/node.ts';
import type { PortBinding } from '../model/ports.ts';
import type { Endpoint } from '../model/sandbox.ts';
import type { Change, Netns } from './change.ts';
import type { HostFacts } from './kernel.ts';
import type { TunnelSpec } from './tunnel.ts';

export interface DriverCapabilities {
  readonly scope: Scope;
  /** The engine allocates subnets and addresses for its networks. false for `host` and `null`. */
  readonly addressing: boolean;
  /** Pools get a gateway address, and the sandbox a default route. */
  readonly gateway: boolean;
  /** A user may make networks of this kind (false for `host` and `null`: one of each exists). */
  readonly creatable: boolean;
  /** A network has a part on a host only as long as it has endpoints there (`planNetwork`). Absent: always. */
  readonly onDemand?: boolean;
  /** Endpoints one network can hold; Infinity when the kernel sets no limit. Names what sets it, for the error. */
  readonly maxEndpoints: { readonly count: number; readonly why: string };
}

/** What attaching does, and what the sandbox as a whole needs to know of it. */
export interface JoinPlan {
  readonly changes: readonly Change[];
  /** Where the default route would go through this endpoint; null: this endpoint offers none (internal networks). */
  readonly gateway4: IpAddress | null;
  readonly gateway6: IpAddress | null;
}

/** How another host's part of a network is reached from here. */
export interface PeerPlan {
  readonly changes: readonly Change[];
  /** Why the peer, or a part of it, is not reached, as a sentence without full stop; '' when all of it is. */
  readonly trouble: string;
}

export interface NetworkDriver {
  /** The word after `--driver`. */
  readonly type: string;
  readonly capabilities: DriverCapabilities;
  /**
   * Called once before a network is stored, and again for stored ones at start.
   * @throws invalid for an unknown option or a bad value (naming option, value and rule); conflict against `others` (same bridge name).
   */
  readonly check: (network: Network, others: readonly Network[]) => void;
  /** What the driver needs once per daemon: its table, forwarding sysctls. Same facts, same plan. Optional: nothing. */
  readonly planHost?: (host: HostFacts) => readonly Change[];
  /**
   * Removals of what `planHost` makes on other hosts, or made when this one was different, and does not want now: only what lies outside
   * the driver's own table, where no sweep would look. Most of it is not there. Optional: nothing.
   */
  readonly planHostStale?: (host: HostFacts) => readonly Change[];
  /**
   * What a reset puts back besides undoing `planHost`: settings that the removal of one network leaves on, because others may count on
   * them. Facts as for `planHost`. Optional: nothing.
   */
  readonly planReset?: (host: HostFacts) => readonly Change[];
  /**
   * The bridge of the host's that the user named, which may be there already, as somebody else's (`Network.foreignBridge`). Optional: the
   * network's devices are its own in any case.
   */
  readonly namedBridge?: (network: Pick<Network, 'options'>) => string | null;
  /** The network itself, without endpoints. Removal is the inverse. */
  readonly planNetwork: (network: Network, host: HostFacts) => readonly Change[];
  /**
   * Of `planNetwork` what stands in the host's nftables, in the same order: asked for by itself, and of all networks at once, when somebody has flushed
   * the tables. Optional: it is picked out of `planNetwork`.
   */
  readonly planNetworkRules?: (network: Network, host: HostFacts) => readonly Change[];
  /** One endpoint: links, addresses, elements; all but the sandbox's default route. Removal is the inverse. */
  readonly planJoin: (
    network: Network,
    join: { readonly endpoint: Endpoint; readonly netns: Netns },
    host: HostFacts,
  ) => JoinPlan;
  /**
   * Published ports that lead to an endpoint, which is its sandbox's way out for the families of these ports. Removal is the inverse.
   * Optional: networks of this kind cannot publish.
   */
  readonly planPorts?: (
    network: Network,
    publish: { readonly endpoint: Endpoint; readonly ports: readonly PortBinding[] },
    host: HostFacts,
  ) => readonly Change[];
  /**
   * One other host's part of a network that spans hosts; for each peer, after `planNetwork`, and again when the peer or the underlay has
   * changed. Removal is the inverse. Never throws for what a peer says of itself. Optional: networks of this kind have no peers.
   */
  readonly planPeer?: (network: Network, peer: Peer, host: HostFacts) => PeerPlan;
  /**
   * One endpoint on another host: neighbours and forwarding entries ahead of traffic. After `planNetwork`; removal is the inverse. Never
   * throws for what a host says of itself. Optional: hosts need to know of each other's endpoints only by name.
   */
  readonly planRemote?: (network: Network, endpoint: RemoteEndpoint, host: HostFacts) => readonly Change[];
  /**
   * Tells the endpoints of this host where the addresses of one elsewhere are, for those that appear with another MAC address than before. Goes
   * with `planRemote`; not state, so not part of it.
   */
  readonly planAnnounce?: (network: Network, endpoint: RemoteEndpoint, host: HostFacts) => readonly Change[];
  /** What this host tells the others of its part. Same network and underlay, same answer, also after a restart. Goes with `planPeer`. */
  readonly peerData?: (network: Network, host: HostFacts) => Omit<NodePart, 'inUse'>;
  /**
   * The user-space tunnel that carries the network, to be open as long as the network is there; null: the kernel carries it. Its device is
   * part of `planNetwork`. Optional: null.
   */
  readonly tunnelOf?: (network: Network, peers: readonly Peer[], host: HostFacts) => TunnelSpec | null;
  /**
   * Whether sandboxes on it reach the outside, and are reached at published ports, by way of a bridge of the host's that the engine attaches them
   * to (engine/gateway-network.ts). Optional: never; it is a way out itself, or means to be none.
   */
  readonly needsWayOut?: (network: Network) => boolean;
  /** Interface name prefix inside the sandbox (`eth`), '' when the driver makes no interface. */
  readonly interfacePrefix: (network: Network) => string;
  /** Whether the host end of an endpoint needs a name of ours (a veth pair). */
  readonly hostInterface: boolean;
}
