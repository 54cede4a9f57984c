/**
 * Who is asked on one network answers on it. A sandbox has one default route, and with that alone a request from afar that came in by another of
 * its networks would be answered by the wrong one, with an address that does not belong there. So every other endpoint with a gateway
 * has a table of its own, for what is sent from its address. A sandbox with one network has nothing of this.
 */
import { addressOf, type Family, type IpAddress, prefixOf } from '../base/ip.ts';
import type { Change, Netns, Route, RoutingRule } from '../contracts/change.ts';
import type { Endpoint } from '../model/sandbox.ts';
import type { DefaultGateways } from './gateway.ts';

/** An endpoint, and the way out that it offers. */
export interface SourceOffer {
  readonly endpoint: Endpoint;
  readonly gateway4: IpAddress | null;
  readonly gateway6: IpAddress | null;
}

/**
 * Just before the main table (32766), after the rules of whoever owns an adopted namespace. First the main table without its default
 * routes: what is on a network of the sandbox, or has a route there, is reached as ever.
 */
const SPECIFIC = 32_000;
const BY_SOURCE = 32_001;

/** RT_TABLE_MAIN */
const MAIN = 254;
/** Above the 256 that have names, and apart from the numbers that people choose. */
const TABLES = 2 ** 28;

export function sourceRoutes(netns: Netns, offers: readonly SourceOffer[], { v4, v6 }: DefaultGateways): Change[] {
  return [...ofFamily(netns, 4, { offers, chosen: v4?.device }), ...ofFamily(netns, 6, { offers, chosen: v6?.device })];
}

function ofFamily(
  netns: Netns,
  family: Family,
  { offers, chosen }: { readonly offers: readonly SourceOffer[]; readonly chosen: string | undefined },
): Change[] {
  const rule = (value: Omit<RoutingRule, 'family'>): Change => ({ kind: 'rule', op: 'add', netns, rule: { family, ...value } });
  const own = offers.flatMap(({ endpoint, gateway4, gateway6 }): Change[] => {
    const [address, via] = family === 4 ? [endpoint.ipv4, gateway4] : [endpoint.ipv6, gateway6];
    if (address === null || via === null || endpoint.interfaceName === chosen) return [];
    const table = TABLES + Number.parseInt(endpoint.id.slice(0, 7), 16);
    return [
      { kind: 'route', op: 'add', netns, route: { destination: prefixOf(via, 0), via, device: endpoint.interfaceName, table } },
      rule({ priority: BY_SOURCE, table, from: prefixOf(addressOf(address)) }),
    ];
  });
  return own.length === 0 ? [] : [rule({ priority: SPECIFIC, table: MAIN, suppressPrefixLength: 0 }), ...own];
}

/** Whether a route is in one of these tables, whoever it was for: a crash may leave one that no stored endpoint needs. */
export const isSourceRoute = ({ table = MAIN }: Route): boolean => table >= TABLES && table < 2 * TABLES;

/** The same of a rule. */
export const isSourceRule = ({ priority, table, from, suppressPrefixLength }: RoutingRule): boolean =>
  priority === SPECIFIC
    ? table === MAIN && suppressPrefixLength === 0
    : priority === BY_SOURCE && from !== undefined && isSourceRoute({ destination: from, table });
