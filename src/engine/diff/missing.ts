/**
 * Desired state against actual state: what has to be done to the kernel, and why. What is there and right is never touched, so
 * that a restart drops no packet. Pure.
 */
import { familyOf } from '../../base/ip.ts';
import type { Change, Netns } from '../../contracts/change.ts';
import type { Actual, Repair } from './actual.ts';
import { missingAddress, missingFdb, missingLink, missingLinkSet, missingNeighbour, missingSysctl } from './links.ts';
import { missingElement, missingForeignRule, missingTable } from './nft.ts';
import { missingRoute, missingRule, rivalRoutes } from './routes.ts';

export interface DiffOptions {
  /**
   * Also return changes whose effect no snapshot shows (files, sysctls in sandboxes): the executor finds out whether they are
   * needed, at the price of a look at each.
   */
  readonly unseen: boolean;
}

/** @param desired in the order in which it would be made; the repairs come in that order too. */
export function missing(desired: readonly Change[], actual: Actual, { unseen }: DiffOptions): Repair<Change>[] {
  /** Links that are made anew: what hung off them goes with the old ones, although the snapshot still shows it. */
  const renewed = new Map<string, string>();
  /** Links of somebody else's under our names: what is to hang off ours is not put there. */
  const foreign = new Set<string>();
  const bare = withoutIpv6(desired, actual);
  return desired.flatMap((change) => {
    if (isRemoval(change)) return [];
    const device = deviceOf(change);
    if (device !== null && foreign.has(device)) return [];
    const lost = device === null ? undefined : renewed.get(device);
    if (lost !== undefined) {
      const rivals =
        change.kind === 'route' ? rivalRoutes(change, actual, (name) => !renewed.has(deviceKey(change.netns, name))) : [];
      return [...rivals, { change, why: lost }];
    }
    const repairs = missingOne(change, actual, unseen || (change.kind === 'sysctl' && device !== null && bare.has(device)));
    if (isInTheWay(change, repairs, actual)) {
      foreign.add(deviceKey(change.netns, change.link.name));
      return repairs;
    }
    for (const repair of repairs) {
      for (const name of linksMade(repair.change)) renewed.set(name, `its device was made anew: ${repair.why}`);
    }
    return repairs;
  });
}

/**
 * Devices that lost an IPv6 address. It may have gone because somebody turned IPv6 off there, and it does not come back before that is on again: their
 * sysctls are looked at, too.
 */
function withoutIpv6(desired: readonly Change[], actual: Actual): ReadonlySet<string> {
  const lost = desired.flatMap((change) =>
    change.kind === 'address' && familyOf(change.address) === 6 && !actual.hasAddress(change.netns, change.device, change.address)
      ? [deviceKey(change.netns, change.device)]
      : [],
  );
  return new Set(lost);
}

/** A plan of desired state has nothing to remove; what one removes is not state. */
const isRemoval = (change: Change): boolean => 'op' in change && change.op === 'remove';

function missingOne(change: Change, actual: Actual, unseen: boolean): Repair<Change>[] {
  switch (change.kind) {
    case 'netns':
    case 'netns-pin':
      return actual.namespace(change.path) === undefined ? [{ change, why: 'it was gone' }] : [];
    case 'link':
      return missingLink(change, actual);
    case 'link-set':
      return missingLinkSet(change, actual);
    case 'address':
      return missingAddress(change, actual);
    case 'route':
      return missingRoute(change, actual);
    case 'rule':
      return missingRule(change, actual);
    case 'neighbour':
      return missingNeighbour(change, actual);
    case 'fdb':
      return missingFdb(change, actual);
    case 'nft-table':
      return missingTable(change, actual);
    case 'nft-element':
      return missingElement(change, actual);
    case 'nft-rule':
      return missingForeignRule(change, actual);
    case 'sysctl':
      return missingSysctl(change, actual, unseen);
    case 'offload':
      return unseen ? [{ change, why: 'it was changed' }] : [];
    case 'file':
      return unseen && change.inPlace !== true ? [{ change, why: 'it was changed' }] : [];
    case 'announce':
    case 'conntrack':
      return [];
  }
}

/** There is a link of that name, and it is to be made all the same: the executor will say whose it is. */
const isInTheWay = (
  change: Change,
  repairs: readonly Repair<Change>[],
  actual: Actual,
): change is Change & { readonly kind: 'link' } =>
  change.kind === 'link' && repairs[0]?.change === change && actual.link(change.netns, change.link.name) !== undefined;

/** Keys of the links that a change makes: a veth pair makes two. */
function linksMade(change: Change): string[] {
  if (change.kind !== 'link' || change.op !== 'add') return [];
  const { name, kind } = change.link;
  return [deviceKey(change.netns, name), ...(kind.type === 'veth' ? [deviceKey(kind.peer.netns, kind.peer.name)] : [])];
}

/** Key of the device that a change is about; null when it is about none. */
function deviceOf(change: Change): string | null {
  switch (change.kind) {
    case 'link-set':
      return deviceKey(change.netns, change.name);
    case 'address':
    case 'offload':
      return deviceKey(change.netns, change.device);
    case 'route':
      return change.route.device === undefined ? null : deviceKey(change.netns, change.route.device);
    case 'neighbour':
      return deviceKey(change.netns, change.neighbour.device);
    case 'fdb':
      return deviceKey(change.netns, change.entry.device);
    case 'sysctl': {
      const device = /^net\/ipv[46]\/(?:conf|neigh)\/([^/]+)\//.exec(change.key)?.[1];
      return device === undefined ? null : deviceKey(change.netns, device);
    }
    case 'link':
    case 'netns':
    case 'netns-pin':
    case 'rule':
    case 'nft-table':
    case 'nft-element':
    case 'nft-rule':
    case 'file':
    case 'announce':
    case 'conntrack':
      return null;
  }
}

const deviceKey = (netns: Netns, device: string): string => `${netns}\0${device}`;
