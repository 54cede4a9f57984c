/** Notifications: what changes in the kernel, and who changed it. */
import type { IpAddress, Prefix } from '../base/ip.ts';
import { netlinkSocketH } from '../sys/constants.ts';
import { hasCode } from '../sys/errors.ts';
import type { Fd } from '../sys/fd.ts';
import { withNetns } from '../sys/netns.ts';
import { NetlinkFd } from '../sys/socket.ts';
import { sourceOf } from '../wire/bytes.ts';
import { address as addressMessage } from '../wire/netlink/address.ts';
import { familyH, ifH, netfilterH, netlinkH, nfnetlinkH, nfTablesH, rtnetlinkH } from '../wire/netlink/constants.ts';
import { ifinfomsg, linkMark } from '../wire/netlink/link.ts';
import { neighbour as neighbourMessage } from '../wire/netlink/neighbour.ts';
import { netconf } from '../wire/netlink/netconf.ts';
import { nftGeneration, nftObject } from '../wire/netlink/nftables.ts';
import { eachMessage, type Frame } from './frame.ts';
import type { Received } from './request.ts';
import { decodeRoute } from './route.ts';

/** Where a notification is from. */
interface Origin {
  /** Id of the namespace (see `setNsid`); null = the monitor's own. */
  readonly nsid: number | null;
  /** Something was removed. */
  readonly gone: boolean;
  /** Index of the link; 0 for a route without one. */
  readonly index: number;
}

export type RouteEvent =
  | (Origin & {
      readonly type: 'link';
      readonly name: string;
      readonly master: number;
      readonly up: boolean;
      readonly alias: string;
      /** bytes */
      readonly mtu: number;
      /** AF_BRIDGE: it joined, left (`gone`) or changed as a port; the link itself may live on. */
      readonly port: boolean;
    })
  | (Origin & { readonly type: 'address'; readonly address: IpAddress })
  | (Origin & {
      readonly type: 'route';
      readonly destination: Prefix;
      readonly table: number;
      readonly metric: number;
      /** null: on the link. */
      readonly via: IpAddress | null;
      readonly protocol: number;
    })
  | (Origin & { readonly type: 'neighbour'; readonly address: IpAddress | null });

export type NftFamilyName = 'inet' | 'ip' | 'ip6' | 'arp' | 'bridge' | 'netdev';
export type NftEvent =
  /** Something in a table, or the table itself. Those of one transaction come together, before its `generation`. */
  | {
      readonly type: 'nft';
      /** As `Origin`. */
      readonly nsid: number | null;
      readonly gone: boolean;
      readonly object: NftObject;
      readonly family: NftFamilyName | '';
      readonly table: string;
    }
  /** The end of a transaction. `pid` is the thread that made it, as the initial pid namespace counts; `process` its name (`setThreadName`). */
  | {
      readonly type: 'generation';
      readonly nsid: number | null;
      readonly id: number;
      readonly pid: number;
      readonly process: string;
    };
export type NftObject = 'table' | 'chain' | 'rule' | 'set' | 'element' | 'object' | 'flowtable';

/** Notifications were lost because nobody read them in time (ENOBUFS): everything may have changed. */
export interface Overrun {
  readonly type: 'overrun';
}

export interface Monitor<E> extends Disposable {
  /** Readable when there is something: `pollReadable`, `watchReadable`. */
  readonly fd: Fd;
  /** Everything that is there now, in order; does not wait. */
  readonly drain: () => readonly (E | Overrun)[];
}

export interface RouteMonitorOptions {
  /** Also namespaces that have an id in this one (NETLINK_LISTEN_ALL_NSID). */
  readonly allNsid?: boolean;
  /** Also neighbours and forwarding entries, which change often. */
  readonly neighbours?: boolean;
  /** Where to listen; default: the thread's namespace. */
  readonly netns?: Fd;
  /** Bytes of kernel memory for what has not been read; default 8 MiB, some ten thousand notifications. */
  readonly receiveBuffer?: number;
}

const RECEIVE_BUFFER = 8 << 20;

/** Links, addresses and routes. */
export function openRouteMonitor(options: RouteMonitorOptions = {}): Monitor<RouteEvent> {
  const { RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE } =
    rtnetlinkH;
  const groups = [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE];
  return open({
    protocol: netlinkH.NETLINK_ROUTE,
    groups: options.neighbours ? [...groups, RTNLGRP_NEIGH] : groups,
    allNsid: options.allNsid ?? false,
    netns: options.netns,
    receiveBuffer: options.receiveBuffer ?? RECEIVE_BUFFER,
    decode: routeEvent,
  });
}

export type NeighbourEvent = Extract<RouteEvent, { readonly type: 'neighbour' }>;

/**
 * Neighbours and forwarding entries in all namespaces that have an id in this one. They change often where containers talk: those of others are
 * passed over unread.
 * @param wanted asked for each: the id of its namespace, null = this one
 */
export function openNeighbourMonitor(wanted: (nsid: number | null) => boolean): Monitor<NeighbourEvent> {
  return open({
    protocol: netlinkH.NETLINK_ROUTE,
    groups: [rtnetlinkH.RTNLGRP_NEIGH],
    allNsid: true,
    netns: undefined,
    receiveBuffer: RECEIVE_BUFFER,
    decode(message, nsid) {
      const event = wanted(nsid) ? routeEvent(message, nsid) : undefined;
      return event?.type === 'neighbour' ? event : undefined;
    },
  });
}

/** A link that nobody can find any more. */
export interface Departure {
  readonly type: 'departure';
  readonly index: number;
}

/**
 * Links that leave, as early as the kernel tells: see `deleteLinks`. (A link that is renamed by somebody is told, too.)
 */
export function openDepartureMonitor(netns: Fd): Monitor<Departure> {
  return open({
    protocol: netlinkH.NETLINK_ROUTE,
    groups: [rtnetlinkH.RTNLGRP_LINK, rtnetlinkH.RTNLGRP_IPV4_NETCONF],
    allNsid: false,
    netns,
    receiveBuffer: RECEIVE_BUFFER,
    decode: departure,
  });
}

/** nf_tables. */
export function openNftMonitor({
  netns,
  allNsid = false,
}: Pick<RouteMonitorOptions, 'netns' | 'allNsid'> = {}): Monitor<NftEvent> {
  return open({
    protocol: netlinkH.NETLINK_NETFILTER,
    groups: [nfnetlinkH.NFNLGRP_NFTABLES],
    allNsid,
    netns,
    receiveBuffer: RECEIVE_BUFFER,
    decode: nftEvent,
  });
}

interface OpenOptions<E> {
  readonly protocol: number;
  readonly groups: readonly number[];
  readonly allNsid: boolean;
  readonly netns: Fd | undefined;
  readonly receiveBuffer: number;
  readonly decode: (frame: Received, nsid: number | null) => E | undefined;
}

function open<E>({ protocol, groups, allNsid, netns, receiveBuffer, decode }: OpenOptions<E>): Monitor<E> {
  const make = (): NetlinkFd => new NetlinkFd(protocol);
  const socket = netns ? withNetns(netns, make) : make();
  try {
    socket.setRoom({ receive: receiveBuffer });
    if (allNsid) socket.setOption(netlinkSocketH.SOL_NETLINK, netlinkSocketH.NETLINK_LISTEN_ALL_NSID, 1);
    socket.join(groups);
  } catch (error) {
    socket.close();
    throw error;
  }
  const source = sourceOf(socket.bytes, false);
  return {
    fd: socket.fd,
    drain() {
      const events: (E | Overrun)[] = [];
      const add = (frame: Frame): void => {
        const event = decode(frame, socket.nsid);
        if (event) events.push(event);
      };
      for (;;) {
        try {
          const length = socket.receive();
          if (length < 0) return events;
          eachMessage(source, length, add);
        } catch (error) {
          if (!hasCode(error, 'ENOBUFS')) throw error;
          events.push({ type: 'overrun' });
        }
      }
    },
    [Symbol.dispose]: () => socket.close(),
  };
}

function routeEvent(message: Received, nsid: number | null): RouteEvent | undefined {
  switch (message.type) {
    case rtnetlinkH.RTM_NEWLINK:
    case rtnetlinkH.RTM_DELLINK: {
      const { header, attributes } = message.read(linkMark);
      return {
        type: 'link',
        nsid,
        gone: message.type === rtnetlinkH.RTM_DELLINK,
        index: header.index,
        name: attributes.name ?? '',
        master: attributes.master ?? 0,
        up: (header.flags & ifH.IFF_UP) !== 0,
        alias: attributes.alias ?? '',
        mtu: attributes.mtu ?? 0,
        port: header.family === familyH.AF_BRIDGE,
      };
    }
    case rtnetlinkH.RTM_NEWADDR:
    case rtnetlinkH.RTM_DELADDR: {
      const { header, attributes } = message.read(addressMessage);
      const address = attributes.local ?? attributes.address;
      if (!address) return undefined;
      return { type: 'address', nsid, gone: message.type === rtnetlinkH.RTM_DELADDR, index: header.index, address };
    }
    case rtnetlinkH.RTM_NEWROUTE:
    case rtnetlinkH.RTM_DELROUTE: {
      const route = decodeRoute(message);
      if (!route) return undefined;
      const { destination, table, metric = 0, via = null, protocol, device: index = 0 } = route;
      const gone = message.type === rtnetlinkH.RTM_DELROUTE;
      return { type: 'route', nsid, gone, index, destination, table, metric, via, protocol };
    }
    case rtnetlinkH.RTM_NEWNEIGH:
    case rtnetlinkH.RTM_DELNEIGH: {
      const { header, attributes } = message.read(neighbourMessage);
      const address = attributes.destination ?? null;
      return { type: 'neighbour', nsid, gone: message.type === rtnetlinkH.RTM_DELNEIGH, index: header.index, address };
    }
    default:
      return undefined;
  }
}

function departure(message: Received): Departure | undefined {
  if (message.type === rtnetlinkH.RTM_DELNETCONF) {
    const { index = 0 } = message.read(netconf).attributes;
    return { type: 'departure', index };
  }
  if (message.type !== rtnetlinkH.RTM_DELLINK) return undefined;
  const { family, index } = message.read(ifinfomsg);
  // A port that leaves its bridge is told the same way.
  return family === familyH.AF_BRIDGE ? undefined : { type: 'departure', index };
}

const { NFT_MSG_NEWGEN } = nfTablesH;
const OBJECTS: Readonly<Record<number, readonly [object: NftObject, gone: boolean]>> = {
  [nfTablesH.NFT_MSG_NEWTABLE]: ['table', false],
  [nfTablesH.NFT_MSG_DELTABLE]: ['table', true],
  [nfTablesH.NFT_MSG_NEWCHAIN]: ['chain', false],
  [nfTablesH.NFT_MSG_DELCHAIN]: ['chain', true],
  [nfTablesH.NFT_MSG_NEWRULE]: ['rule', false],
  [nfTablesH.NFT_MSG_DELRULE]: ['rule', true],
  [nfTablesH.NFT_MSG_NEWSET]: ['set', false],
  [nfTablesH.NFT_MSG_DELSET]: ['set', true],
  [nfTablesH.NFT_MSG_NEWSETELEM]: ['element', false],
  [nfTablesH.NFT_MSG_DELSETELEM]: ['element', true],
  [nfTablesH.NFT_MSG_NEWOBJ]: ['object', false],
  [nfTablesH.NFT_MSG_DELOBJ]: ['object', true],
  [nfTablesH.NFT_MSG_NEWFLOWTABLE]: ['flowtable', false],
  [nfTablesH.NFT_MSG_DELFLOWTABLE]: ['flowtable', true],
};
const FAMILIES: Readonly<Record<number, NftFamilyName>> = {
  [netfilterH.NFPROTO_INET]: 'inet',
  [netfilterH.NFPROTO_IPV4]: 'ip',
  [netfilterH.NFPROTO_IPV6]: 'ip6',
  [netfilterH.NFPROTO_ARP]: 'arp',
  [netfilterH.NFPROTO_BRIDGE]: 'bridge',
  [netfilterH.NFPROTO_NETDEV]: 'netdev',
};

function nftEvent(message: Received, nsid: number | null): NftEvent | undefined {
  if (message.type >> 8 !== nfnetlinkH.NFNL_SUBSYS_NFTABLES) return undefined;
  const kind = message.type & 0xff;
  if (kind === NFT_MSG_NEWGEN) {
    const { id = 0, pid = 0, process = '' } = message.read(nftGeneration).attributes;
    return { type: 'generation', nsid, id, pid, process };
  }
  const entry = OBJECTS[kind];
  if (!entry) return undefined;
  const { header, attributes } = message.read(nftObject);
  const family = FAMILIES[header.family] ?? '';
  return { type: 'nft', nsid, object: entry[0], gone: entry[1], family, table: attributes.table ?? '' };
}
