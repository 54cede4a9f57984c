/** Links: ip-link(8), bridge-link(8). */
import type { IpAddress } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { Fd } from '../sys/fd.ts';
import { familyH, ifH, ifLinkH, netlinkH, rtnetlinkH } from '../wire/netlink/constants.ts';
import { link as linkMessage } from '../wire/netlink/link.ts';
import { describeAdd, describePort, describeSet, dev } from './link-words.ts';
import { change, type Query, query, type Received, type Request } from './request.ts';

const { NLM_F_CREATE, NLM_F_EXCL } = netlinkH;
const { RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK, RTEXT_FILTER_SKIP_STATS } = rtnetlinkH;
const { IFF_UP, IFF_LOOPBACK } = ifH;

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
    }
  | { readonly type: 'macvlan'; readonly parent: number; readonly mode: MacvlanMode }
  | { readonly type: 'dummy' };

export type MacvlanMode = 'private' | 'vepa' | 'bridge' | 'passthru';
const MACVLAN_MODES = {
  private: ifLinkH.MACVLAN_MODE_PRIVATE,
  vepa: ifLinkH.MACVLAN_MODE_VEPA,
  bridge: ifLinkH.MACVLAN_MODE_BRIDGE,
  passthru: ifLinkH.MACVLAN_MODE_PASSTHRU,
} as const satisfies Record<MacvlanMode, number>;

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

/**
 * A link, complete in one message but for its alias and bridge port flags, which the kernel takes only of a link that exists: send `setLink` and
 * `setBridgePort` behind it in the same batch, by index.
 */
export function addLink(link: NewLink): Request {
  const { name, kind, index, up, mtu, mac, master, netns } = link;
  return change(describeAdd(link), RTM_NEWLINK, {
    flags: NLM_F_CREATE | NLM_F_EXCL,
    codec: linkMessage,
    value: {
      header: { index: index ?? 0, ...upFlag(up) },
      attributes: {
        name,
        mtu,
        address: mac,
        master,
        link: kind.type === 'macvlan' ? kind.parent : undefined,
        netnsFd: netns?.number,
        info: { kind: kind.type, data: infoData(kind) },
      },
    },
  });
}

type InfoData = NonNullable<NonNullable<Parameters<typeof linkMessage.write>[1]['attributes']['info']>['data']>;

function infoData(kind: NewLinkKind): InfoData | undefined {
  switch (kind.type) {
    case 'veth': {
      const { name, index, netns, mac, mtu } = kind.peer;
      const attributes = { name, mtu, address: mac, netnsFd: netns?.number };
      return { type: 'veth', value: { peer: { header: { index: index ?? 0 }, attributes } } };
    }
    case 'bridge':
      return { type: 'bridge', value: { forwardDelay: kind.forwardDelay, multicastSnooping: bit(kind.multicastSnooping) } };
    case 'vxlan': {
      const { vni: id, port, device, local, learning, proxy } = kind;
      const where = local?.includes(':') ? { local6: local } : { local };
      return { type: 'vxlan', value: { id, port, link: device, ...where, learning: bit(learning), proxy: bit(proxy) } };
    }
    case 'macvlan':
      return { type: 'macvlan', value: { mode: MACVLAN_MODES[kind.mode] } };
    case 'dummy':
      return undefined;
  }
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
  /** Moves it there. */
  readonly netns?: Fd | undefined;
}

/** @param link a name cannot be used together with a new name */
export function setLink(link: LinkRef, value: LinkChange): Request {
  const { up, mtu, mac, master, alias, name, netns } = value;
  const target = reference(link);
  return change(describeSet(link, value), RTM_SETLINK, {
    codec: linkMessage,
    value: {
      header: { ...target.header, ...upFlag(up) },
      attributes: {
        ...target.attributes,
        ...(name === undefined ? {} : { name }),
        mtu,
        address: mac,
        master,
        alias,
        netnsFd: netns?.number,
      },
    },
  });
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

/** The link must be a port of a bridge already. */
export function setBridgePort(link: LinkRef, port: PortChange): Request {
  const target = reference(link);
  const value = {
    isolated: bit(port.isolated),
    hairpin: bit(port.hairpin),
    learning: bit(port.learning),
    unicastFlood: bit(port.flood),
  };
  return change(describePort(link, port), RTM_NEWLINK, {
    codec: linkMessage,
    value: {
      header: target.header,
      attributes: { ...target.attributes, info: { slaveKind: 'bridge', slaveData: { type: 'bridge', value } } },
    },
  });
}

/** Deletes a link; of a veth pair, both ends. */
export function deleteLink(link: LinkRef): Request {
  return change(`ip link del ${dev(link)}`, RTM_DELLINK, { codec: linkMessage, value: reference(link) });
}

/** A link as the kernel shows it. */
export interface LinkInfo {
  readonly index: number;
  readonly name: string;
  /** IFLA_INFO_KIND (`tun` also for TAP devices: see `tap`), '' for a physical device and the loopback. */
  readonly type: string;
  readonly tap: boolean;
  /** IFF_UP, the administrative state. */
  readonly up: boolean;
  readonly loopback: boolean;
  /** bytes */
  readonly mtu: number;
  /** '' when it has none, or one that is not of six bytes */
  readonly mac: Mac | '';
  /** Index of the bridge, 0 = none */
  readonly master: number;
  /** IFLA_LINK: index of the veth peer or the macvlan parent, 0 = none; it counts in namespace `linkNsid` when that is not null. */
  readonly link: number;
  readonly linkNsid: number | null;
  readonly alias: string;
  /** Bridge port settings; false when it is no port. */
  readonly isolated: boolean;
  readonly hairpin: boolean;
}

/** Asks for one link (use `find`). */
export function getLink(link: LinkRef): Query<LinkInfo> {
  const { header, attributes } = reference(link);
  const value = { header, attributes: { ...attributes, extMask: RTEXT_FILTER_SKIP_STATS } };
  return query(`ip link show ${dev(link)}`, RTM_GETLINK, { dump: false, codec: linkMessage, value, decode: decodeLink });
}

/** @param filter.master only ports of this bridge; filtered by the kernel */
export function dumpLinks(filter: { readonly master?: number | undefined } = {}): Query<LinkInfo> {
  const value = { header: {}, attributes: { extMask: RTEXT_FILTER_SKIP_STATS, master: filter.master } };
  return query('ip link show', RTM_GETLINK, { dump: true, codec: linkMessage, value, decode: decodeLink });
}

function decodeLink(message: Received): LinkInfo | undefined {
  if (message.type !== RTM_NEWLINK) return undefined;
  const { header, attributes } = message.read(linkMessage);
  const { info } = attributes;
  const port = info?.slaveData?.type === 'bridge' ? info.slaveData.value : undefined;
  return {
    index: header.index,
    name: attributes.name ?? '',
    type: info?.kind ?? '',
    tap: info?.data?.type === 'tun' && info.data.value.type === IFF_TAP,
    up: (header.flags & IFF_UP) !== 0,
    loopback: (header.flags & IFF_LOOPBACK) !== 0,
    mtu: attributes.mtu ?? 0,
    mac: attributes.address?.length === MAC_LENGTH ? (attributes.address as Mac) : '',
    master: attributes.master ?? 0,
    link: attributes.link ?? 0,
    linkNsid: attributes.linkNsid ?? null,
    alias: attributes.alias ?? '',
    isolated: port?.isolated === 1,
    hairpin: port?.hairpin === 1,
  };
}

/** <linux/if_tun.h> */
const IFF_TAP = 2;
/** `00:11:22:33:44:55` */
const MAC_LENGTH = 17;

function reference(link: LinkRef): { header: { family: number; index: number }; attributes: { name?: string } } {
  const family = familyH.AF_UNSPEC;
  return typeof link === 'number'
    ? { header: { family, index: link }, attributes: {} }
    : { header: { family, index: 0 }, attributes: { name: link } };
}

const bit = (value: boolean | undefined): number | undefined => (value === undefined ? undefined : Number(value));

const upFlag = (up: boolean | undefined): { flags?: number; change?: number } =>
  up === undefined ? {} : { flags: up ? IFF_UP : 0, change: IFF_UP };
