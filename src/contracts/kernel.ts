/** What the engine and the drivers may know of, and do to, the kernel. Implemented by `kernel/` and `kernel/fake/`. */
import type { ErrorData } from '../base/errors.ts';
import type { IfAddress, IpAddress, Prefix } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { NftTableRef, NftTableState } from '../nft/types.ts';
import type { Underlay } from '../model/node.ts';
import type { HostPorts } from './host-ports.ts';
import type { Change, Neighbour, FdbEntry, Netns, Route, RoutingRule } from './change.ts';

/** What became of one change of a batch. `skipped`: an earlier one failed before this was sent. */
export type Applied =
  | { readonly state: 'changed' | 'already' | 'skipped' }
  | { readonly state: 'failed'; readonly error: ErrorData };

export interface ApplyOptions {
  /**
   * false (default): stop at the first failure; later changes are `skipped`, except those already sent in the same batch, which may
   * be `changed`: the caller undoes every `changed` one. true: try all (teardown goes on after an error).
   */
  readonly keepGoing?: boolean;
}

export interface LinkState {
  readonly index: number;
  readonly name: string;
  /** IFLA_INFO_KIND, or '' for a physical device and the loopback. */
  readonly type: string;
  /** IFF_UP, the administrative state. */
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: Mac | '';
  /** Name of the master, or ''. */
  readonly master: string;
  readonly alias: string;
  readonly isolated: boolean;
  readonly hairpin: boolean;
  /** Absent: not known. */
  readonly static?: boolean;
  /** IFLA_GROUP. Absent: not known. */
  readonly group?: number;
  /** Of a VXLAN device, what cannot be told by its attributes; `local` '' = any. Absent: not known. */
  readonly vxlan?: { readonly vni: number; readonly port: number; readonly local: IpAddress | '' };
}

export interface AddressState {
  readonly device: string;
  readonly address: IfAddress;
  /** Made by the kernel itself, such as a link-local IPv6 address. */
  readonly kernel: boolean;
}

/** One namespace, as dumped. Routes of the main table and of tables that we use; no local, broadcast or multicast routes. */
export interface NetnsState {
  readonly netns: Netns;
  /** The same for every path that leads to this namespace, and for no other one that exists. */
  readonly identity: string;
  readonly links: readonly LinkState[];
  readonly addresses: readonly AddressState[];
  readonly routes: readonly Route[];
  readonly rules: readonly RoutingRule[];
  readonly neighbours: readonly Neighbour[];
  readonly fdb: readonly FdbEntry[];
}

/** Which dumps to make; fewer are faster. */
export type SnapshotPart = 'links' | 'addresses' | 'routes' | 'rules' | 'neighbours' | 'fdb';

/** Something in the kernel changed, and not by us. Level-triggered: look again, do not trust the details. */
export type KernelEvent =
  | { readonly type: 'link'; readonly netns: Netns; readonly name: string; readonly gone: boolean }
  /** `neighbour`: also forwarding entries; only of VXLAN devices in observed namespaces. */
  | { readonly type: 'address' | 'route' | 'neighbour'; readonly netns: Netns; readonly device: string }
  /** `netns` absent: the host's. */
  | { readonly type: 'nft'; readonly table: NftTableRef | null; readonly netns?: Netns }
  /** Notifications were lost (ENOBUFS): everything may have changed. */
  | { readonly type: 'overrun' };

/** One answer of a feature probe. `why` says what is missing and what would bring it. */
export interface Feature {
  readonly name: string;
  readonly state: 'yes' | 'no' | 'unknown';
  readonly why: string;
}

/** A base chain of somebody else's that may drop what we forward. */
export interface ForeignForward {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly policy: 'accept' | 'drop';
  /** The chain that its tool documents for the administrator's own rules, when there is one: DOCKER-USER. */
  readonly userChain: string | null;
}

/** A chain of somebody else's. */
export interface ForeignChain {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
}

/** What a driver may ask about the host. Plain data, so that plans can be computed without a kernel. */
export interface HostFacts {
  /** Device of the default route, or '' when there is none. */
  readonly uplink: string;
  /** MTU of the uplink in bytes; 1500 when there is none (the engine keeps that of one that went). */
  readonly uplinkMtu: number;
  readonly routes: readonly Prefix[];
  /** Addresses of the host itself. */
  readonly addresses: readonly IfAddress[];
  /** Whether net.bridge.bridge-nf-call-iptables or -ip6tables is on; null = br_netfilter is not loaded. */
  readonly bridgeNf: boolean | null;
  /** Old values of the sysctls that a plan may replace, by key relative to /proc/sys. Absent = no such key. */
  readonly sysctls: Readonly<Record<string, string>>;
  readonly foreignForward: readonly ForeignForward[];
  /** There may be rules for forwarded packets that cannot be seen: those of iptables-legacy. */
  readonly unseenForward?: true;
  /** Base chains of others that may stop what programs of this host send. Absent: there are none. */
  readonly foreignOutput?: readonly ForeignChain[];
  /** Nameservers and search domains of the host's resolv.conf, as text. */
  readonly resolvConf: string;
  /** What systemd-resolved asks itself, when the host's resolv.conf names nothing but its stub on the loopback. */
  readonly resolvedConf?: string;
  readonly hostname: string;
  /**
   * Ports are published here, or were since boot: some bridge may take packets for 127.0.0.0/8. The kernel does not know it: the engine adds it, and
   * sees to it that the host's plan is carried out with it before the first of them is.
   */
  readonly localhostPorts?: true;
  /** Absent: this host is in no cluster. The kernel does not know it: who knows the cluster adds it. */
  readonly underlay?: Underlay;
}

export interface Kernel extends AsyncDisposable {
  /**
   * Applies changes in order, batching netlink messages per namespace and sending all nftables changes as one transaction
   * (after the links they name exist, before anything is reported). Never throws for a change that fails: see the result,
   * which has one entry per change. Calls are serialised.
   */
  readonly apply: (changes: readonly Change[], options?: ApplyOptions) => Promise<readonly Applied[]>;
  /**
   * A list for these namespaces is about to come: they may be opened meanwhile. Only an advice; what is wrong with one is told by `apply`.
   */
  readonly expect: (netns: readonly Netns[]) => void;
  /** One entry per namespace; null where it is gone. May be called at any time; read only. */
  readonly snapshot: (netns: readonly Netns[], parts: readonly SnapshotPart[]) => Promise<readonly (NetnsState | null)[]>;
  /** null when there is no such table, or namespace. @param netns default: the host's */
  readonly listTable: (table: NftTableRef, netns?: Netns) => Promise<NftTableState | null>;
  /** All tables of the host, ours and others'. Does not look into them: takes the same whatever they hold. */
  readonly tableNames: () => Promise<readonly NftTableRef[]>;
  readonly facts: () => Promise<HostFacts>;
  readonly features: () => Promise<readonly Feature[]>;
  readonly hostPorts: HostPorts;
  /** Pins under a directory that are namespaces, by path. */
  readonly pins: (directory: string) => Promise<readonly string[]>;
  /**
   * Starts notifications for the host's namespace and nftables; `observe` adds a namespace, `forget` drops it. Our own changes do not
   * show. @returns a function that ends it.
   */
  readonly watch: (listener: (event: KernelEvent) => void) => Promise<() => Promise<void>>;
  readonly observe: (netns: readonly Netns[]) => Promise<void>;
  readonly forget: (netns: readonly Netns[]) => Promise<void>;
}
