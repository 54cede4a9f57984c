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
}

export interface PeerCounts {
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  /** Packets from it whose source is not in its subnets. */
  readonly spoofed: number;
}

export interface TunnelStatus {
  readonly peers: Readonly<Record<string, PeerCounts>>;
  /** Dropped packets by reason, in words. */
  readonly drops: Readonly<Record<string, number>>;
}

export interface Tunnel extends AsyncDisposable {
  /** Replaces the peers. @returns when packets go by the new ones. Counters of a peer (by name) go on. @throws exhausted when there are too many */
  readonly setPeers: (peers: readonly TunnelPeer[]) => Promise<void>;
  readonly status: () => TunnelStatus;
  /** Resolves when it carries nothing any more, also because its thread failed. */
  readonly ended: Promise<void>;
}

/** The tunnels of a host, each open as long as its network wants one. Disposing closes all. */
export interface Tunnels extends AsyncDisposable {
  /**
   * Opens, changes or closes the tunnel of a network. One that cannot be opened, or fails, is opened again from time to time.
   * @param spec null: none. @returns when it is so, or when it failed for now
   */
  readonly want: (network: Id, spec: TunnelSpec | null) => Promise<void>;
  /** null: there is none, or it is not open; `error` says why. */
  readonly status: (network: Id) => { readonly tunnel: TunnelStatus | null; readonly error: string } | null;
}
