/** Routes: ip-route(8). */
import {
  addressOf,
  bitsOf,
  type Family,
  familyOf,
  formatIp,
  type IpAddress,
  lengthOf,
  type Prefix,
  prefixOf,
} from '../base/ip.ts';
import { familyH, netlinkH, rtnetlinkH } from '../wire/netlink/constants.ts';
import { route as routeMessage } from '../wire/netlink/route.ts';
import { dev } from './link-spec.ts';
import { change, type Query, query, type Received, type Request } from './request.ts';

const { RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE, RTNH_F_ONLINK, RT_TABLE_MAIN, RTPROT_STATIC } = rtnetlinkH;
const { RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST, RT_SCOPE_NOWHERE } = rtnetlinkH;
const { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } = netlinkH;

export type RouteType = 'unicast' | 'local' | 'blackhole' | 'unreachable' | 'prohibit';
const TYPES = {
  unicast: rtnetlinkH.RTN_UNICAST,
  local: rtnetlinkH.RTN_LOCAL,
  blackhole: rtnetlinkH.RTN_BLACKHOLE,
  unreachable: rtnetlinkH.RTN_UNREACHABLE,
  prohibit: rtnetlinkH.RTN_PROHIBIT,
} as const satisfies Record<RouteType, number>;

export type RouteScope = 'global' | 'link' | 'host';
const SCOPES = { global: RT_SCOPE_UNIVERSE, link: RT_SCOPE_LINK, host: RT_SCOPE_HOST } as const satisfies Record<
  RouteScope,
  number
>;

export interface RouteSpec {
  /** `0.0.0.0/0` and `::/0` are default routes. */
  readonly destination: Prefix;
  /** default `unicast` */
  readonly type?: RouteType | undefined;
  readonly via?: IpAddress | undefined;
  /** Index of the outgoing link. */
  readonly device?: number | undefined;
  /** Address that packets get when their sender has not chosen one. */
  readonly source?: IpAddress | undefined;
  readonly metric?: number | undefined;
  /** RTNH_F_ONLINK: the gateway is reachable although no on-link prefix covers it. */
  readonly onlink?: boolean | undefined;
  /** default for IPv4 `host` where the type is local and `link` without gateway, else `global` */
  readonly scope?: RouteScope | undefined;
  /** default 254 (main) */
  readonly table?: number | undefined;
  /** RTAX_MTU, bytes */
  readonly mtu?: number | undefined;
  /** RTPROT_*; default 4 (static) */
  readonly protocol?: number | undefined;
}

/** A route that is there: EEXIST. @param device name of the link, for the description */
export const addRoute = (route: RouteSpec, device?: string): Request =>
  change(() => `ip route add ${describe(route, device)}`, RTM_NEWROUTE, {
    flags: NLM_F_CREATE | NLM_F_EXCL,
    codec: routeMessage,
    value: body(route, RTPROT_STATIC),
  });

/** Adds beside routes to the same destination with the same metric, which go before it (IPv4) or share with it (IPv6). The same one: EEXIST. */
export const appendRoute = (route: RouteSpec, device?: string): Request =>
  change(() => `ip route append ${describe(route, device)}`, RTM_NEWROUTE, {
    flags: NLM_F_CREATE | NLM_F_APPEND,
    codec: routeMessage,
    value: body(route, RTPROT_STATIC),
  });

/** Adds, or takes the place of the route to the same destination with the same metric. */
export const replaceRoute = (route: RouteSpec, device?: string): Request =>
  change(() => `ip route replace ${describe(route, device)}`, RTM_NEWROUTE, {
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    codec: routeMessage,
    value: body(route, RTPROT_STATIC),
  });

/** A route that is not there: ESRCH. Only the fields that are given must match. */
export const deleteRoute = (route: RouteSpec, device?: string): Request =>
  // RTPROT_UNSPEC and RT_SCOPE_NOWHERE match any.
  change(() => `ip route del ${describe(route, device)}`, RTM_DELROUTE, {
    codec: routeMessage,
    value: body({ ...route, mtu: undefined }, rtnetlinkH.RTPROT_UNSPEC, RT_SCOPE_NOWHERE),
  });

function body(route: RouteSpec, protocol: number, scope?: number): Parameters<typeof routeMessage.write>[1] {
  const { destination, via, device, source, metric, mtu, table = RT_TABLE_MAIN } = route;
  const type = route.type ?? 'unicast';
  const family = familyOf(destination);
  const usual = family === 6 ? 'global' : type === 'local' ? 'host' : type === 'unicast' && via === undefined ? 'link' : 'global';
  const otherFamily = via !== undefined && familyOf(via) !== family;
  return {
    header: {
      family: familyNumber(family),
      destinationLength: lengthOf(destination),
      // 8 bits; larger tables are in RTA_TABLE, which the kernel then uses instead.
      table: table < 256 ? table : 0,
      protocol: route.protocol ?? protocol,
      scope: route.scope ? SCOPES[route.scope] : (scope ?? SCOPES[usual]),
      type: TYPES[type],
      flags: route.onlink ? RTNH_F_ONLINK : 0,
    },
    attributes: {
      destination: lengthOf(destination) === 0 ? undefined : addressOf(destination),
      oif: device,
      ...(otherFamily ? { via } : { gateway: via }),
      preferredSource: source,
      priority: metric,
      metrics: mtu === undefined ? undefined : { mtu },
      table: table < 256 ? undefined : table,
    },
  };
}

function describe(route: RouteSpec, device: string | undefined): string {
  const { destination, type, via, source, metric, onlink, scope, table, mtu } = route;
  const words = [
    type && type !== 'unicast' ? type : '',
    lengthOf(destination) === 0 ? (familyOf(destination) === 4 ? 'default' : '::/0') : destination,
    via && `via ${familyOf(via) === familyOf(destination) ? '' : 'inet6 '}${via}`,
    route.device !== undefined && `dev ${device ?? dev(route.device)}`,
    source && `src ${source}`,
    metric !== undefined && `metric ${metric}`,
    scope && `scope ${scope}`,
    // ip(8) puts a local route into the table `local` when none is named.
    (table ?? RT_TABLE_MAIN) !== RT_TABLE_MAIN ? `table ${table}` : type === 'local' && 'table main',
    mtu !== undefined && `mtu ${mtu}`,
    onlink && 'onlink',
  ];
  return words.filter(Boolean).join(' ');
}

/** A route as the kernel shows it. Of a multipath route: its first hop. */
export interface RouteInfo extends RouteSpec {
  readonly type: RouteType;
  readonly table: number;
  /** RTPROT_*, <linux/rtnetlink.h>: 2 kernel, 3 boot, 4 static */
  readonly protocol: number;
}

const TYPE_NAMES: Readonly<Record<number, RouteType>> = Object.fromEntries(
  Object.entries(TYPES).map(([name, number]) => [number, name as RouteType]),
);
const SCOPE_NAMES: Readonly<Record<number, RouteScope>> = Object.fromEntries(
  Object.entries(SCOPES).map(([name, number]) => [number, name as RouteScope]),
);

/**
 * Routes that people write: unicast, blackhole, unreachable, prohibit, and local ones that the kernel did not make with an address. Broadcast
 * and multicast routes are left out, and cached ones.
 * @param filter.table only this table; filtered by the kernel, which answers nothing when there is no such table
 */
export function dumpRoutes(family: Family, filter: { readonly table?: number | undefined } = {}): Query<RouteInfo> {
  const { table } = filter;
  const small = table === undefined || table < 256;
  const value = {
    header: { family: familyNumber(family), table: small ? (table ?? 0) : 0 },
    attributes: { table: small ? undefined : table },
  };
  return query(`ip -${family} route show table ${table ?? 'all'}`, RTM_GETROUTE, {
    dump: true,
    codec: routeMessage,
    value,
    decode: decodeRoute,
  });
}

/** For dumps and notifications. */
export function decodeRoute(message: Received): RouteInfo | undefined {
  if (message.type !== RTM_NEWROUTE && message.type !== RTM_DELROUTE) return undefined;
  const { header, attributes } = message.read(routeMessage);
  const family = header.family === familyH.AF_INET ? 4 : header.family === familyH.AF_INET6 ? 6 : undefined;
  const type = TYPE_NAMES[header.type];
  if (!family || !type || header.flags & rtnetlinkH.RTM_F_CLONED) return undefined;
  if (type === 'local' && header.protocol === rtnetlinkH.RTPROT_KERNEL) return undefined;
  const hop = attributes.multipath?.[0];
  const via = attributes.gateway ?? attributes.via ?? hop?.attributes.gateway ?? hop?.attributes.via;
  const device = attributes.oif ?? hop?.header.index;
  const scope = SCOPE_NAMES[header.scope];
  const length = Math.min(header.destinationLength, bitsOf(family));
  return {
    destination: prefixOf(attributes.destination ?? formatIp(family, 0n), length),
    type,
    table: attributes.table ?? header.table,
    protocol: header.protocol,
    ...(via === undefined ? {} : { via }),
    // IPv6 shows its blackhole routes on the loopback.
    ...(device === undefined || (type !== 'unicast' && type !== 'local') ? {} : { device }),
    ...(attributes.preferredSource === undefined ? {} : { source: attributes.preferredSource }),
    ...(attributes.priority === undefined ? {} : { metric: attributes.priority }),
    ...((header.flags | (hop?.header.flags ?? 0)) & RTNH_F_ONLINK ? { onlink: true } : {}),
    ...(scope === undefined ? {} : { scope }),
    ...(attributes.metrics?.mtu === undefined ? {} : { mtu: attributes.metrics.mtu }),
  };
}

const familyNumber = (family: Family): number => (family === 4 ? familyH.AF_INET : familyH.AF_INET6);
