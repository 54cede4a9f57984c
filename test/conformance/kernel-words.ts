/** The words in which the conformance suite compares links, routes, rules, neighbours and FDB entries. */
import { familyOf } from '../../src/base/ip.ts';
import type { FdbEntry, Neighbour, Route, RoutingRule } from '../../src/contracts/change.ts';
import type { LinkState } from '../../src/contracts/kernel.ts';

export const words = (...parts: readonly (string | false | undefined)[]): string => parts.filter(Boolean).join(' ');

export const linkWords = (link: Omit<LinkState, 'index' | 'mac'>): string =>
  words(
    link.name,
    link.type === '' ? 'device' : link.type,
    link.up ? 'up' : 'down',
    `mtu ${link.mtu} master ${link.master || 'none'} alias ${link.alias || 'none'}`,
    link.isolated && 'isolated',
    link.hairpin && 'hairpin',
  );

export const routeWords = (route: Route): string =>
  words(
    familyOf(route.destination) === 6 && '-6',
    route.type !== undefined && route.type !== 'unicast' && route.type,
    route.destination.endsWith('/0') ? 'default' : route.destination,
    route.via !== undefined && `via ${route.via}`,
    route.device !== undefined && `dev ${route.device}`,
    route.source !== undefined && `src ${route.source}`,
    route.metric !== undefined && `metric ${route.metric}`,
    route.table !== undefined && `table ${route.table}`,
    route.onlink && 'onlink',
  );

export const ruleWords = (rule: RoutingRule): string =>
  words(
    `${rule.priority}:`,
    rule.from !== undefined && `from ${rule.from}`,
    rule.fwmark !== undefined && `fwmark ${rule.fwmark}`,
    rule.iif !== undefined && `iif ${rule.iif}`,
    `lookup ${rule.table}`,
    rule.suppressPrefixLength !== undefined && `suppress_prefixlength ${rule.suppressPrefixLength}`,
  );

export const neighbourWords = (entry: Neighbour): string =>
  `${entry.address} dev ${entry.device} lladdr ${entry.mac} ${entry.state}`;

export const fdbWords = (entry: FdbEntry): string =>
  words(`${entry.mac} dev ${entry.device}`, entry.destination !== undefined && `dst ${entry.destination}`);
