/** A user-space data path between hosts. Implemented by `tunnel/`. */
import type { Id } from '../base/ids.ts';
import type { IpAddress, Prefix } from '../base/ip.ts';

export interface TunnelPeer {
  readonly name: string;
  readonly endpoint: { readonly address: IpAddress; readonly port: number };
  /** Inner addresses behind it: where packets go to it, and the only sources that it may use. */
  readonly subnets: readonly Prefix[];
  /** It runs this program too: inner checksums are not made for it, it completes them itself. */
  readonly own: boolean;
}

/** What a tunnel is opened with. */
export interface TunnelSpec {
  /** Name of its TUN device. */
  readonly device: string;
  readonly local: { readonly address: IpAddress; readonly port: number };
  /** Of the local address's family. */
  readonly peers: readonly TunnelPeer[];
  /** Device that has the local address, for what the kernel can carry by itself; '': nothing. */
  readonly underlay: string;
}

export interface PeerCounts {
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  /** Packets from it whose source is not in its subnets. */
  readonly spoofed: number;
}

/** TCP and ICMP between hosts of ours can go past the process, in the kernel. */
export interface FastPathStatus {
  /** Why it cannot; '' when it can. */
  readonly why: string;
  /** Of those of all peers, what went so. */
  readonly sentPackets: number;
  readonly receivedPackets: number;
}

export interface TunnelStatus {
  readonly peers: Readonly<Record<string, PeerCounts>>;
  /** Dropped packets by reason, in words. */
  readonly drops: Readonly<Record<string, number>>;
  readonly fastPath: FastPathStatus;
}

/** Disposing lets go of it: it carries packets on, for who opens it next. */
export interface Tunnel extends AsyncDisposable {
  /** Replaces the peers. @returns when packets go by the new ones. Counters of a peer (by name) go on. @throws exhausted when there are too many */
  readonly setPeers: (to: Pick<TunnelSpec, 'peers' | 'underlay'>) => Promise<void>;
  /** @throws unavailable, or timeout, when what carries the packets does not answer */
  readonly status: () => Promise<TunnelStatus>;
  /** Resolves when it was let go, or carries nothing any more, also because it has failed. */
  readonly ended: Promise<void>;
  /** Nothing is carried, and nothing left, from then on. */
  readonly end: () => Promise<void>;
}

/**
 * The tunnels of a host. Each is open as long as its network wants one, whether a daemon is there or not. Disposing lets go of all; only `keep` may follow.
 */
export interface Tunnels extends AsyncDisposable {
  /**
   * Opens, changes or ends the tunnel of a network. One that cannot be opened, or fails, is opened again from time to time.
   * @param spec null: none. @returns when it is so, or when it failed for now
   */
  readonly want: (network: Id, spec: TunnelSpec | null) => Promise<void>;
  /** Ends what is there, of earlier lives of the daemon too, for any other network than these. */
  readonly keep: (networks: ReadonlySet<Id>) => Promise<void>;
  /** null: none is wanted. `tunnel` is null when it is not open; `error` says why. */
  readonly status: (network: Id) => Promise<{ readonly tunnel: TunnelStatus | null; readonly error: string } | null>;
}
