/** The name service at 127.0.0.11 of sandboxes on user-defined networks. Implemented by `dns/`. */
import type { Id } from '../base/ids.ts';
import type { IpAddress } from '../base/ip.ts';
import type { Change, Netns } from './change.ts';

/** The names of one endpoint on its network. */
export interface NameRecord {
  readonly endpoint: Id;
  readonly network: Id;
  /** Names that lead to it, in any case; the first one is what PTR answers, followed by the network's name. */
  readonly names: readonly string[];
  readonly addresses: readonly IpAddress[];
}

/** A server that gets what we do not know. */
export interface Upstream {
  readonly address: IpAddress;
  /** 53 */
  readonly port: number;
  /** The namespace whose routes lead there: the host's for servers of its own resolv.conf, the sandbox's for `--dns`. */
  readonly from: 'host' | 'sandbox';
}

/** A sandbox that asks. */
export interface ResolverClient {
  readonly sandbox: Id;
  readonly netns: Netns;
  /** Networks whose names it sees, the way out first: an earlier one's answer wins. Name after a dot: `web.my_net`. */
  readonly networks: readonly { readonly id: Id; readonly name: string }[];
  /** `--link`: another name for a name, for this sandbox alone, by lower-case alias. */
  readonly links: Readonly<Record<string, string>>;
  /** Empty: nothing but own names (internal networks). */
  readonly upstreams: readonly Upstream[];
  /** The user has set `ndots` above 0: A and AAAA of an unknown name without a dot is empty, and not forwarded, as Docker has it. */
  readonly ndots?: boolean;
}

export interface ResolverStatus {
  readonly clients: number;
  readonly records: number;
  readonly queries: number;
  readonly forwarded: number;
  readonly dropped: number;
}

export interface Resolver extends AsyncDisposable {
  /** What the namespace needs so that queries to port 53 of 127.0.0.11 come to our sockets. Pure. */
  readonly planClient: (netns: Netns) => readonly Change[];
  /**
   * Starts to serve clients, or changes how. Sockets that are open and right stay.
   * @returns when every socket is open: the first query will be answered. @throws what keeps one from being opened; the others are served.
   */
  readonly serve: (clients: readonly ResolverClient[]) => Promise<void>;
  /** Closes the sockets; who is not served is no error. */
  readonly stop: (sandboxes: readonly Id[]) => Promise<void>;
  /** Upserts, by endpoint, in the order of calls; takes effect before a later `serve` returns. */
  readonly put: (records: readonly NameRecord[]) => void;
  readonly remove: (endpoints: readonly Id[]) => void;
  readonly status: () => Promise<ResolverStatus>;
}
