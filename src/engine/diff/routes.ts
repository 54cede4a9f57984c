/** Routes and routing rules. */
import { familyOf } from '../../base/ip.ts';
import type { Change, Route, RoutingRule } from '../../contracts/change.ts';
import type { Actual, Repair } from './actual.ts';

type Of<K extends Change['kind']> = Extract<Change, { readonly kind: K }>;

/** RT_TABLE_MAIN */
const MAIN = 254;
/** IP6_RT_PRIO_USER: what the kernel gives an IPv6 route that names no metric. */
const METRIC6 = 1024;

export function missingRoute(change: Of<'route'>, actual: Actual): Repair<Change>[] {
  const same = inPlaceOf(change, actual);
  if (same.some((one) => matches(one, change.route))) return [];
  const why = same[0] === undefined ? 'it was deleted' : difference(same[0], change.route);
  return [...same.map((one) => rival(change, one)), { change, why }];
}

/**
 * Of a route whose device is made anew: what stands in its place, on a device that stays.
 * @param stays whether a device of the route's namespace is not made anew itself, which takes its routes along
 */
export const rivalRoutes = (change: Of<'route'>, actual: Actual, stays: (device: string) => boolean): Repair<Change>[] =>
  inPlaceOf(change, actual)
    .filter(({ device }) => device === undefined || stays(device))
    .map((one) => rival(change, one));

const inPlaceOf = ({ netns, route }: Of<'route'>, actual: Actual): readonly Route[] => actual.routesIn(netns, slot(route), slot);

/**
 * Another route in the same place (destination, table, metric) keeps ours out, so it goes first. IPv6 has no such places: there
 * the kernel would add ours as a second next hop.
 */
const rival = (change: Of<'route'>, route: Route): Repair<Change> => ({
  change: { ...change, op: 'remove', route },
  why: difference(route, change.route),
});

const slot = (route: Route): string => `${route.destination} ${route.table ?? MAIN} ${metric(route)}`;

const metric = (route: Route): number => route.metric ?? (familyOf(route.destination) === 6 ? METRIC6 : 0);

/** What the plan leaves open, the kernel may have filled in. */
function matches(have: Route, want: Route): boolean {
  return (
    (have.type ?? 'unicast') === (want.type ?? 'unicast') &&
    have.via === want.via &&
    (want.device === undefined || have.device === want.device) &&
    (want.source === undefined || have.source === want.source) &&
    (want.scope === undefined || have.scope === undefined || have.scope === want.scope) &&
    // A route that says none is not to have one: the path has become wider.
    (have.mtu ?? 0) === (want.mtu ?? 0)
  );
}

function difference(have: Route, want: Route): string {
  const { mtu: _, ...rest } = want;
  const mtu = have.mtu === undefined ? {} : { mtu: have.mtu };
  if (matches(have, { ...rest, ...mtu })) return `its MTU was ${have.mtu ?? "the device's"}`;
  return `it went ${where(have)}`;
}

function where({ via, device }: Route): string {
  if (via !== undefined) return device === undefined ? `via ${via}` : `via ${via} on ${device}`;
  return device === undefined ? 'nowhere' : `straight to ${device}`;
}

export function missingRule(change: Of<'rule'>, actual: Actual): Repair<Change>[] {
  const rules = actual.namespace(change.netns)?.rules ?? [];
  return rules.some((rule) => sameRule(rule, change.rule)) ? [] : [{ change, why: 'it was deleted' }];
}

export const sameRule = (a: RoutingRule, b: RoutingRule): boolean =>
  a.family === b.family &&
  a.priority === b.priority &&
  a.table === b.table &&
  a.from === b.from &&
  a.to === b.to &&
  a.iif === b.iif &&
  a.fwmark === b.fwmark &&
  a.suppressPrefixLength === b.suppressPrefixLength;
