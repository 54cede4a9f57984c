/** What a link should be, and the same in the words of ip(8) for people who read a plan or an error. */
import type { IpAddress } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { Fd } from '../sys/fd.ts';

/** A link by index or by name. An index of the host is faster for the kernel. */
export type LinkRef = number | string;

/** IFLA_INFO_DATA by kind; devices by index. */
export type NewLinkKind =
  | { readonly type: 'veth'; readonly peer: NewPeer }
  | {
      readonly type: 'bridge';
      readonly multicastSnooping?: boolean | undefined;
      /** 1/100 s (USER_HZ), 200 to 3000; 0 is allowed while STP is off */
      readonly forwardDelay?: number | undefined;
    }
  | {
      readonly type: 'vxlan';
      readonly vni: number;
      /** UDP */
      readonly port: number;
      readonly local?: IpAddress | undefined;
      /** Index of the link that it sends through. */
      readonly device?: number | undefined;
      readonly learning: boolean;
      readonly proxy?: boolean | undefined;
      /** Id of the namespace that its socket is in; default: the one that it is born in. */
      readonly socketNsid?: number | undefined;
    }
  | { readonly type: 'macvlan'; readonly parent: number; readonly mode: MacvlanMode }
  | { readonly type: 'dummy' };

export type MacvlanMode = 'private' | 'vepa' | 'bridge' | 'passthru';
/**
 * The other end of a veth pair, born in its namespace under its final name. It cannot be born up: veth refuses with ENOTCONN before the pair is
 * joined.
 */
export interface NewPeer {
  readonly name: string;
  readonly index?: number | undefined;
  readonly netns?: Fd | undefined;
  readonly mac?: Mac | undefined;
  /** bytes */
  readonly mtu?: number | undefined;
}

export interface NewLink {
  readonly name: string;
  readonly kind: NewLinkKind;
  /** Index to give it; the kernel chooses when absent. One that is taken: EEXIST, as for a name that is taken. */
  readonly index?: number | undefined;
  readonly up?: boolean | undefined;
  /** bytes */
  readonly mtu?: number | undefined;
  readonly mac?: Mac | undefined;
  /** Index of the bridge. */
  readonly master?: number | undefined;
  /** Where it is born; default: the socket's namespace. */
  readonly netns?: Fd | undefined;
}

/** What can change on a live link; only the fields present are touched. */
export interface LinkChange {
  readonly up?: boolean | undefined;
  /** bytes */
  readonly mtu?: number | undefined;
  readonly mac?: Mac | undefined;
  /** Index of the bridge, 0 = none */
  readonly master?: number | undefined;
  /** At most 255 bytes. */
  readonly alias?: string | undefined;
  readonly name?: string | undefined;
  /** IFLA_GROUP, 0 = the default one */
  readonly group?: number | undefined;
  /** Moves it there. */
  readonly netns?: Fd | undefined;
}

/** Settings of a bridge port; only the fields present are touched. */
export interface PortChange {
  /** No layer-2 traffic with other isolated ports of the bridge. */
  readonly isolated?: boolean | undefined;
  /** Frames may leave by the port they came in. */
  readonly hairpin?: boolean | undefined;
  readonly learning?: boolean | undefined;
  /** Flood frames for unknown unicast addresses to it. */
  readonly flood?: boolean | undefined;
}

/** `dev` in messages: a name, or an index as ip(8) shows one without a name. */
export const dev = (link: LinkRef): string => (typeof link === 'string' ? link : `if${link}`);

export function describeAdd({ name, kind, up, mtu, mac, master, netns }: NewLink): string {
  const common = [
    mtu !== undefined && `mtu ${mtu}`,
    mac && `address ${mac}`,
    master && `master ${dev(master)}`,
    up && 'up',
    netns && `netns ${netns.what}`,
  ];
  return ['ip link add', name, ...common, `type ${kind.type}`, ...describeKind(kind)].filter(Boolean).join(' ');
}

function describeKind(kind: NewLinkKind): readonly string[] {
  switch (kind.type) {
    case 'veth': {
      const { name, mac, mtu, netns } = kind.peer;
      return [
        'peer name',
        name,
        mtu === undefined ? '' : `mtu ${mtu}`,
        mac ? `address ${mac}` : '',
        netns ? `netns ${netns.what}` : '',
      ];
    }
    case 'bridge':
      return [
        kind.forwardDelay === undefined ? '' : `forward_delay ${kind.forwardDelay}`,
        kind.multicastSnooping === undefined ? '' : `mcast_snooping ${Number(kind.multicastSnooping)}`,
      ];
    case 'vxlan':
      return [
        `id ${kind.vni} dstport ${kind.port}`,
        kind.local ? `local ${kind.local}` : '',
        kind.device ? `dev ${dev(kind.device)}` : '',
        kind.learning ? 'learning' : 'nolearning',
        kind.proxy ? 'proxy' : '',
        kind.socketNsid === undefined ? '' : `link-netnsid ${kind.socketNsid}`,
      ];
    case 'macvlan':
      return [`mode ${kind.mode} link ${dev(kind.parent)}`];
    case 'dummy':
      return [];
  }
}

export function describeSet(link: LinkRef, { up, mtu, mac, master, alias, name, group, netns }: LinkChange): string {
  const words = [
    netns && `netns ${netns.what}`,
    name !== undefined && `name ${name}`,
    mtu !== undefined && `mtu ${mtu}`,
    mac && `address ${mac}`,
    master !== undefined && (master === 0 ? 'nomaster' : `master ${dev(master)}`),
    alias !== undefined && `alias ${alias}`,
    group !== undefined && `group ${group}`,
    up !== undefined && (up ? 'up' : 'down'),
  ];
  return ['ip link set', dev(link), ...words.filter(Boolean)].join(' ');
}

export function describePort(link: LinkRef, port: PortChange): string {
  const words = [
    onOff('isolated', port.isolated),
    onOff('hairpin', port.hairpin),
    onOff('learning', port.learning),
    onOff('flood', port.flood),
  ];
  return ['bridge link set dev', dev(link), ...words.filter(Boolean)].join(' ');
}

const onOff = (word: string, value: boolean | undefined): string =>
  value === undefined ? '' : `${word} ${value ? 'on' : 'off'}`;
