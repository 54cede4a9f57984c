/** Links: ip-link(8), bridge-link(8). */
import type { IpAddress } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { familyH, ifH, ifLinkH, netlinkH, rtnetlinkH } from '../wire/netlink/constants.ts';
import { link as linkMessage } from '../wire/netlink/link.ts';
import {
  describeAdd,
  describePort,
  describeSet,
  dev,
  type LinkChange,
  type LinkRef,
  type MacvlanMode,
  type NewLink,
  type NewLinkKind,
  type PortChange,
} from './link-spec.ts';
import { change, type Query, query, type Received, type Request } from './request.ts';

const { NLM_F_CREATE, NLM_F_EXCL } = netlinkH;
const { RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK, RTEXT_FILTER_SKIP_STATS } = rtnetlinkH;
const { IFF_UP, IFF_LOOPBACK } = ifH;

const MACVLAN_MODES = {
  private: ifLinkH.MACVLAN_MODE_PRIVATE,
  vepa: ifLinkH.MACVLAN_MODE_VEPA,
  bridge: ifLinkH.MACVLAN_MODE_BRIDGE,
  passthru: ifLinkH.MACVLAN_MODE_PASSTHRU,
} as const satisfies Record<MacvlanMode, number>;

/**
 * What a pair uses when nobody says how many (veth_init_queues(), drivers/net/veth.c). But then it is born with one for each CPU, and taking the others
 * away again costs two expedited RCU grace periods and the removal of their folders in sysfs: half of the time that the kernel needs for a pair.
 */
const ONE_QUEUE = { txQueues: 1, rxQueues: 1 } as const;

/**
 * A link, complete in one message but for its alias and bridge port flags, which the kernel takes only of a link that exists: send `setLink` and
 * `setBridgePort` behind it in the same batch, by index.
 */
export function addLink(link: NewLink): Request {
  const { name, kind, index, up, mtu, mac, master, netns } = link;
  const queues = kind.type === 'veth' ? ONE_QUEUE : {};
  return change(() => describeAdd(link), RTM_NEWLINK, {
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
        linkNsid: kind.type === 'vxlan' ? kind.socketNsid : undefined,
        ...queues,
        info: { kind: kind.type, data: infoData(kind) },
      },
    },
  });
}

type VxlanData = Extract<InfoData, { readonly type: 'vxlan' }>['value'];
type InfoData = NonNullable<NonNullable<Parameters<typeof linkMessage.write>[1]['attributes']['info']>['data']>;

function infoData(kind: NewLinkKind): InfoData | undefined {
  switch (kind.type) {
    case 'veth': {
      const { name, index, netns, mac, mtu } = kind.peer;
      const attributes = { name, mtu, address: mac, netnsFd: netns?.number, ...ONE_QUEUE };
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

/** @param link a name cannot be used together with a new name */
export function setLink(link: LinkRef, value: LinkChange): Request {
  const { up, mtu, mac, master, alias, name, group, netns } = value;
  const target = reference(link);
  return change(() => describeSet(link, value), RTM_SETLINK, {
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
        group,
        netnsFd: netns?.number,
      },
    },
  });
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
  return change(() => describePort(link, port), RTM_NEWLINK, {
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

/** Deletes all links of a group. */
export function deleteGroup(group: number): Request {
  return change(`ip link del group ${group}`, RTM_DELLINK, { codec: linkMessage, value: { header: {}, attributes: { group } } });
}

/** A link as the kernel shows it. */
export interface LinkInfo {
  readonly index: number;
  readonly name: string;
  /** IFLA_INFO_KIND (`tun` also for TAP devices: see `tap`), '' for a physical device and the loopback. */
  readonly type: string;
  readonly tap: boolean;
  /** Of a VXLAN device; `local` is its address on the underlay, '' = any. */
  readonly vxlan: { readonly vni: number; readonly port: number; readonly local: IpAddress | '' } | null;
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
  /** Neither learns nor takes unknown unicast. */
  readonly static: boolean;
  /** IFLA_GROUP */
  readonly group: number;
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
    vxlan: info?.data?.type === 'vxlan' ? vtepOf(info.data.value) : null,
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
    static: port?.learning === 0 && port.unicastFlood === 0,
    group: attributes.group ?? 0,
  };
}

const vtepOf = ({ id = 0, port = 0, local, local6 }: VxlanData): LinkInfo['vxlan'] => ({
  vni: id,
  port,
  local: local ?? local6 ?? '',
});

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
