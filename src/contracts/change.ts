/**
 * Kernel state as data. A driver returns a list of `Change`; one executor applies it. A change is plain and serialisable, is
 * written to the journal as it is, and can be inverted without asking the kernel: what replaces a value carries the old one.
 *
 * `op: 'add' | 'remove'` changes are idempotent: adding what is there, as it is there, and removing what is gone report
 * `already` and have nothing to undo.
 */
import type { IfAddress, IpAddress, Prefix } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { NftElement, NftFamily, NftRule, NftTable, NftTableRef } from '../nft/types.ts';

/** `host`: the namespace the daemon lives in. Otherwise the path of a namespace file (a pin under the exec root). */
export type Netns = string;
export const HOST: Netns = 'host';

export type Op = 'add' | 'remove';

/** IFLA_INFO_DATA by kind, <linux/if_link.h>. */
export type LinkKind =
  | {
      readonly type: 'veth';
      /** The other end, born in its namespace under its final name. */
      readonly peer: { readonly name: string; readonly netns: Netns; readonly mac?: Mac; readonly mtu?: number };
    }
  | { readonly type: 'bridge'; readonly multicastSnooping?: boolean; readonly forwardDelay?: number }
  | {
      readonly type: 'vxlan';
      readonly vni: number;
      readonly port: number;
      readonly local?: IpAddress;
      readonly device?: string;
      readonly learning: boolean;
      readonly proxy?: boolean;
      /** Where its UDP socket is; default: where the device is. */
      readonly socket?: typeof HOST;
    }
  | { readonly type: 'macvlan'; readonly parent: string; readonly mode: 'private' | 'vepa' | 'bridge' | 'passthru' }
  /** A persistent TUN or TAP device, made through /dev/net/tun. */
  | { readonly type: 'tun' | 'tap' }
  | { readonly type: 'dummy' };

/** A link as it is born. `name` is at most 15 bytes (IFNAMSIZ - 1). */
export interface Link {
  readonly name: string;
  readonly kind: LinkKind;
  readonly up: boolean;
  /** bytes */
  readonly mtu?: number;
  readonly mac?: Mac;
  /** Name of the bridge it is a port of. */
  readonly master?: string;
  /** IFLA_IFALIAS: `moor:<instance>:<owner id>`, by which a sweep knows what is ours. */
  readonly alias?: string;
  /** IFLA_BRPORT_ISOLATED: no layer-2 traffic with other isolated ports of the bridge. */
  readonly isolated?: boolean;
  /** IFLA_BRPORT_MODE: frames may leave by the port they came in. */
  readonly hairpin?: boolean;
  /** IFLA_BRPORT_LEARNING and _UNICAST_FLOOD off: of unicast frames only those go there that a forwarding entry of the bridge names. */
  readonly static?: boolean;
  /** IFLA_GROUP, a number by which rules know several links; 0, as a link is born, is everybody's. */
  readonly group?: number;
}

/** Attributes that can change on a live link. Only the fields present are touched. */
export interface LinkAttributes {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: Mac;
  /** '' = no master */
  readonly master?: string;
  readonly isolated?: boolean;
  readonly hairpin?: boolean;
  readonly static?: boolean;
  readonly group?: number;
}

export interface Route {
  readonly destination: Prefix;
  /** default `unicast`; `local`: the address is the namespace's own, for packets that come in by this device */
  readonly type?: 'unicast' | 'local' | 'blackhole' | 'unreachable';
  readonly via?: IpAddress;
  readonly device?: string;
  readonly source?: IpAddress;
  readonly metric?: number;
  /** RTNH_F_ONLINK: the gateway is reachable although no on-link prefix covers it. */
  readonly onlink?: boolean;
  readonly scope?: 'global' | 'link' | 'host';
  /** default 254 (main) */
  readonly table?: number;
  /** Of the way there, bytes (RTAX_MTU), where it is less than the device's: larger packets are answered with "too big". */
  readonly mtu?: number;
}

export interface RoutingRule {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  readonly from?: Prefix;
  readonly to?: Prefix;
  readonly iif?: string;
  readonly fwmark?: number;
  /** Routes of at most so many bits do not count: 0 = no default route. */
  readonly suppressPrefixLength?: number;
}

/** An ARP / neighbour-discovery entry. */
export interface Neighbour {
  readonly device: string;
  readonly address: IpAddress;
  readonly mac: Mac;
  readonly state: 'permanent' | 'reachable';
}

/** A forwarding entry of a bridge port or VXLAN device (NDA_DST is the remote VTEP). */
export interface FdbEntry {
  readonly device: string;
  readonly mac: Mac;
  readonly destination?: IpAddress;
}

/** One connection-tracking tuple, original direction; absent fields match anything. */
export interface ConntrackTuple {
  readonly protocol?: 'tcp' | 'udp' | 'sctp';
  readonly family: 4 | 6;
  readonly source?: IpAddress;
  readonly destination?: IpAddress;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** One of these. */
  readonly destinations?: readonly IpAddress[];
  /** Both ends belong to it. */
  readonly destinationPorts?: { readonly from: number; readonly to: number };
  /** Matches the reply direction's source: the address after DNAT. */
  readonly replySource?: IpAddress;
  /** Whether the destination was rewritten (DNAT): its reply comes from another address. */
  readonly translated?: boolean;
}

export type Change =
  /** Make a namespace, bring its loopback up, pin it at `path`. Removing unpins it; it dies with its last process. */
  | { readonly kind: 'netns'; readonly op: Op; readonly path: string }
  /** Pin an existing namespace, given by a file such as /proc/PID/ns/net, at `path`. */
  | { readonly kind: 'netns-pin'; readonly op: Op; readonly path: string; readonly source: string }
  | { readonly kind: 'link'; readonly op: Op; readonly netns: Netns; readonly link: Link }
  | {
      readonly kind: 'link-set';
      readonly netns: Netns;
      readonly name: string;
      readonly value: LinkAttributes;
      /** Empty: it is left as it is on undo. */
      readonly old: LinkAttributes;
    }
  | {
      readonly kind: 'address';
      readonly op: Op;
      readonly netns: Netns;
      readonly device: string;
      readonly address: IfAddress;
      readonly nodad?: boolean;
    }
  | { readonly kind: 'route'; readonly op: Op; readonly netns: Netns; readonly route: Route }
  | { readonly kind: 'rule'; readonly op: Op; readonly netns: Netns; readonly rule: RoutingRule }
  | { readonly kind: 'neighbour'; readonly op: Op; readonly netns: Netns; readonly neighbour: Neighbour }
  | { readonly kind: 'fdb'; readonly op: Op; readonly netns: Netns; readonly entry: FdbEntry }
  /** `key` with slashes, relative to /proc/sys: `net/ipv4/ip_forward`. `old: null`: unknown, then it is left as it is on undo. */
  | { readonly kind: 'sysctl'; readonly netns: Netns; readonly key: string; readonly value: string; readonly old: string | null }
  /** Whether the device has checksums filled in below it (ethtool's tx-checksumming). `old: null`: it is left as it is on undo. */
  | {
      readonly kind: 'offload';
      readonly netns: Netns;
      readonly device: string;
      readonly checksums: boolean;
      readonly old: boolean | null;
    }
  /**
   * Adding a table that is there completes it in place: missing sets and chains are made, the rules of its chains are put anew, its
   * elements stay. That counts as `already`: undoing it would take everybody's elements along. `netns` absent: the host's; a table
   * elsewhere has rules only, no elements, and is a transaction of its own.
   */
  | { readonly kind: 'nft-table'; readonly op: Op; readonly table: NftTable; readonly netns?: Netns }
  /** Adding a key that is there with another value is a conflict; removing goes by the key alone, as nft does. */
  | { readonly kind: 'nft-element'; readonly op: Op; readonly table: NftTableRef; readonly element: NftElement }
  /**
   * A rule of ours in a chain of somebody else's (DOCKER-USER), found again by its comment; put in front. Tools that
   * save and restore rules may lose the comment: then a rule without one and with the same expression is it.
   */
  | {
      readonly kind: 'nft-rule';
      readonly op: Op;
      readonly family: NftFamily;
      readonly table: string;
      readonly chain: string;
      readonly rule: NftRule;
    }
  /** A whole file. `null` = absent. Parent directories are made as needed, and removed again when empty. */
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly value: string | null;
      readonly old: string | null;
      readonly mode?: number;
      /** Write into the file that is there, because it is mounted somewhere by itself; who edits it there is not overruled. */
      readonly inPlace?: boolean;
      /** Only as long as it is as `old` says: what somebody else wrote into it stays. */
      readonly unlessEdited?: boolean;
    }
  /**
   * Tells whoever is on a bridge where an address is from now on: a gratuitous ARP reply (RFC 5227 section 3), or an unsolicited neighbour
   * advertisement (RFC 4861 section 7.2.6). One frame. Nothing to undo.
   */
  | { readonly kind: 'announce'; readonly netns: Netns; readonly device: string; readonly address: IpAddress; readonly mac: Mac }
  /** Forget connections. Cannot be undone, and need not be: the next packet makes a new entry. Done after all else of a list. */
  | { readonly kind: 'conntrack'; readonly tuple: ConntrackTuple };

export type ChangeKind = Change['kind'];

/** A titled list of changes, applied in order. */
export interface Plan {
  /** `create network my_net2 (bridge)` */
  readonly title: string;
  readonly changes: readonly Change[];
}
