/** Changes that come in the place of one that goes right before them: the kernel is told so that at no time there is neither. */
import { sameRouteKey } from './compare.ts';
import type { RouteChange } from './requests.ts';

type Of<K extends RouteChange['kind']> = Extract<RouteChange, { kind: K }>;

/** A route by another way: it is added before the other one goes. */
export function comesBeside(change: RouteChange, last: RouteChange): change is Of<'route'> {
  if (change.kind !== 'route' || change.op !== 'add' || last.kind !== 'route' || last.op !== 'remove') return false;
  return sameRouteKey(change.route, last.route) && !sameWay(change, last);
}

/**
 * One message does both. A route by the same way, with another MTU: IPv6 would not take it beside the other, and would remove either for it.
 * Neighbours and forwarding entries are one for each address.
 */
export function comesInstead(change: RouteChange, last: RouteChange): change is Of<'route' | 'neighbour' | 'fdb'> {
  if (!('op' in change) || !('op' in last) || change.op !== 'add' || last.op !== 'remove') return false;
  if (change.kind === 'route' && last.kind === 'route')
    return sameRouteKey(change.route, last.route) && sameWay(change, last) && change.route.mtu !== last.route.mtu;
  if (change.kind === 'neighbour' && last.kind === 'neighbour') {
    const [a, b] = [change.neighbour, last.neighbour];
    return a.device === b.device && a.address === b.address;
  }
  if (change.kind === 'fdb' && last.kind === 'fdb') {
    const [a, b] = [change.entry, last.entry];
    // The all-zero address has several destinations, and a bridge's entries have none.
    const replaceable = a.destination !== undefined && b.destination !== undefined && a.mac !== '00:00:00:00:00:00';
    return replaceable && a.device === b.device && a.mac === b.mac;
  }
  return false;
}

const sameWay = (a: Of<'route'>, b: Of<'route'>): boolean =>
  a.route.via === b.route.via && a.route.device === b.route.device && a.route.type === b.route.type;
