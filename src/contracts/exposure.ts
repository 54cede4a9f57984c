/** Who can reach published ports, and which rule of whom decides: an answer to a question about the host's whole ruleset. */
import type { Family, IpAddress } from '../base/ip.ts';
import type { PortBinding } from '../model/ports.ts';

/** Who is asked about. */
export interface Origin {
  /**
   * `host`: programs on this host. `interface`: hosts behind one of its interfaces. `network`: sandboxes of another network.
   * `same`: other sandboxes of the network that the port leads to.
   */
  readonly kind: 'host' | 'interface' | 'network' | 'same';
  /** Of the interface, or of the network; '' for this host, `localhost` where that goes another way there than by its other addresses. */
  readonly name: string;
  /** Addresses: `192.0.2.0/24`; `anywhere` stands for all that is behind the default route. Empty for this host. */
  readonly sources: readonly string[];
}

/** A rule that decides. */
export interface Decision {
  /** `Docker`, `ufw`, `firewalld`, `libvirt`, ...; `Moorline`; `hand-written rules`; `the kernel` */
  readonly owner: string;
  /** `ip filter`; '' for the kernel's own decisions. */
  readonly table: string;
  readonly chain: string;
  /** null: the policy of the chain. */
  readonly handle: number | null;
  /** The rule as nft writes it; `policy drop`; or why the kernel does not forward. */
  readonly rule: string;
}

/**
 * - `open`: a new connection comes about
 * - `dropped`: its packets vanish; the client waits in vain
 * - `rejected`: it is refused
 * - `elsewhere`: it leads somewhere else: to a program of the host, or where another tool's rule sends it
 * - `depends`: on something that cannot be seen from the rules: see `on`
 */
export type Reachability = 'open' | 'dropped' | 'rejected' | 'elsewhere' | 'depends';

export interface Reach {
  readonly from: Origin;
  /** The address that is asked: of the host, or with gateway mode `routed` of the sandbox. */
  readonly address: IpAddress;
  /** A part of the host ports of the binding, when rules tell them apart. */
  readonly ports: PortBinding['hostPorts'];
  readonly reachability: Reachability;
  /** What becomes of the answers decides when the request itself passes. */
  readonly direction: 'request' | 'answer';
  readonly decision: Decision | null;
  /** What it depends on; '' when it does not. */
  readonly on: string;
  /** What an administrator can do so that it is open; '' when it is, or when nothing is to be done. */
  readonly remedy: string;
}

export interface PortExposure {
  readonly sandbox: { readonly id: string; readonly name: string };
  readonly binding: PortBinding;
  /** Where the rules lead it now, `172.18.0.2:80`; null: nowhere. */
  readonly target: { readonly address: IpAddress; readonly port: number; readonly network: string } | null;
  readonly reach: readonly Reach[];
}

export interface ExposureReport {
  readonly ports: readonly PortExposure[];
  /** What could not be looked at: rules of iptables-legacy, bridge tables. */
  readonly unseen: readonly string[];
}

/** What is asked about. Plain data: it goes to another thread. */
export interface ExposureRequest {
  readonly ports: readonly {
    readonly sandbox: PortExposure['sandbox'];
    readonly binding: PortBinding;
    /** Of a network in gateway mode `routed`, where no port of the host is used: the sandbox is asked at this address of its own. */
    readonly direct?: IpAddress;
  }[];
  /** Networks with a bridge of ours. */
  readonly networks: readonly { readonly name: string; readonly bridge: string }[];
  /** TCP of this host to ports at the loopback goes straight to the sandbox (contracts/shortcut.ts). Absent: it does not. */
  readonly shortcut?: boolean;
}

/** Ports that are being published. */
export interface ObstacleRequest {
  readonly ports: readonly PortBinding[];
  /** Of the network that they lead to. */
  readonly bridge: string;
  /** Families in which its gateway mode is `routed`. */
  readonly routed: readonly Family[];
  /** Networks with a bridge of ours, this one among them. */
  readonly networks: ExposureRequest['networks'];
}
