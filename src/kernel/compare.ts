/** Is what exists what was wanted? Each function says the first difference in words, or null. */
import { familyOf } from '../base/ip.ts';
import type { Link, LinkAttributes, Route } from '../contracts/change.ts';
import type { LinkState } from '../contracts/kernel.ts';

/** IFLA_INFO_KIND by our word: a TAP device calls itself tun too. */
export const kernelType = (type: Link['kind']['type']): string => (type === 'tap' ? 'tun' : type);

/** @param peer name of the existing veth pair's far end; null = not known */
export function linkDifference(wanted: Link, actual: LinkState, peer: string | null): string | null {
  const type = kernelType(wanted.kind.type);
  if (actual.type !== type) return differs('type', actual.type === '' ? 'device' : actual.type, type);
  if (wanted.kind.type === 'veth' && peer !== null && peer !== wanted.kind.peer.name)
    return differs('peer', peer, wanted.kind.peer.name);
  if (wanted.alias !== undefined && actual.alias !== wanted.alias) return differs('alias', actual.alias, wanted.alias);
  if (wanted.kind.type === 'vxlan' && actual.vxlan !== undefined) {
    for (const name of ['vni', 'port', 'local'] as const) {
      const value = wanted.kind[name] ?? '';
      if (actual.vxlan[name] !== value) return differs(name, actual.vxlan[name], value);
    }
  }
  return attributesDifference(wanted, actual);
}

/** Of the attributes that are wanted, the first that differs. */
export function attributesDifference(wanted: LinkAttributes, actual: LinkState): string | null {
  for (const name of ['master', 'mtu', 'mac', 'up', 'isolated', 'hairpin', 'static', 'group'] as const) {
    const value = wanted[name];
    if (value !== undefined && actual[name] !== value) return differs(name, actual[name], value);
  }
  return null;
}

/** Same destination, table and metric are what make two routes one in the kernel; this compares the rest. */
export function routeDifference(wanted: Route, actual: Route): string | null {
  const [a, b] = [normalRoute(wanted), normalRoute(actual)];
  for (const name of ['type', 'via', 'device', 'onlink'] as const) {
    if (a[name] !== b[name]) return differs(name, b[name], a[name]);
  }
  if ((a.mtu ?? 0) !== (b.mtu ?? 0)) return differs('mtu', b.mtu, a.mtu);
  // The kernel may fill in a preferred source of its own.
  if (a.source !== undefined && a.source !== b.source) return differs('source', b.source, a.source);
  return null;
}

/** Do they occupy the same place? */
export function sameRouteKey(a: Route, b: Route): boolean {
  const [x, y] = [normalRoute(a), normalRoute(b)];
  return x.destination === y.destination && x.table === y.table && x.metric === y.metric;
}

/** RT_TABLE_MAIN, <linux/rtnetlink.h> */
const MAIN = 254;
/** IP6_RT_PRIO_USER, <linux/ipv6_route.h>: what the kernel puts where no metric is given. */
const METRIC6 = 1024;

/**
 * A route without what is the default, so that a wanted one and a dumped one compare field by field. The default scope is
 * iproute2's: for IPv4 host where the type is local and link without gateway, global otherwise.
 */
export function normalRoute(route: Route): Route {
  const { type, metric, table, scope, onlink, ...rest } = route;
  const v6 = familyOf(route.destination) === 6;
  const unicast = type === undefined || type === 'unicast';
  const usual = !v6 && type === 'local' ? 'host' : !v6 && unicast && route.via === undefined ? 'link' : 'global';
  return {
    ...rest,
    ...(unicast ? {} : { type }),
    ...(metric === undefined || metric === (v6 ? METRIC6 : 0) ? {} : { metric }),
    ...(table === undefined || table === MAIN ? {} : { table }),
    ...(v6 || scope === undefined || scope === usual ? {} : { scope }),
    ...(onlink ? { onlink } : {}),
  };
}

type Scalar = string | number | boolean | undefined;

const differs = (what: string, actual: Scalar, wanted: Scalar): string => `${what} is ${show(actual)}, not ${show(wanted)}`;

const show = (value: Scalar): string => (value === '' || value === undefined ? 'none' : String(value));
