/** What is in the kernel already, compared with what a change wants. Asked before a change only where its message would not tell. */
import { addressOf } from '../base/ip.ts';
import type { Change, Route } from '../contracts/change.ts';
import type { Applied, LinkState } from '../contracts/kernel.ts';
import { dumpAddresses } from '../netlink/address.ts';
import type { LinkInfo } from '../netlink/link.ts';
import type { RouteInfo } from '../netlink/route.ts';
import { attributesDifference, linkDifference, normalRoute, routeDifference } from './compare.ts';
import { type Dumps, EVERY } from './dumps.ts';
import { ALREADY, conflicting, missing } from './failure.ts';
import { type RouteChange, fdbTable } from './requests.ts';
import type { Space, Spaces } from './spaces.ts';

/** A link in the contract's form. */
export const linkState = (info: LinkInfo, space: Space): LinkState => ({
  index: info.index,
  name: info.name,
  type: info.type,
  up: info.up,
  mtu: info.mtu,
  mac: info.mac,
  master: space.nameOf(info.master),
  alias: info.alias,
  isolated: info.isolated,
  hairpin: info.hairpin,
  static: info.static,
  group: info.group,
  ...(info.vxlan === null ? {} : { vxlan: info.vxlan }),
});

/** A route in the contract's form, without what is the default. */
export function routeState(info: RouteInfo, nameOf: (index: number) => string): Route {
  const { type, destination, via, device, source, metric, onlink, scope, table, mtu } = info;
  return normalRoute({
    destination,
    table,
    ...(type === 'prohibit' ? { type: 'unreachable' as const } : { type }),
    ...(via === undefined ? {} : { via }),
    ...(device === undefined ? {} : { device: nameOf(device) }),
    ...(source === undefined ? {} : { source }),
    ...(metric === undefined ? {} : { metric }),
    ...(onlink === undefined ? {} : { onlink }),
    ...(scope === undefined ? {} : { scope }),
    ...(mtu === undefined ? {} : { mtu }),
  });
}

/**
 * The kernel said EEXIST to an addition: is what exists what was wanted?
 * @returns null when it is not there after all
 */
export function whatExists(
  change: RouteChange,
  space: Space,
  { spaces, dumps }: { readonly spaces: Spaces; readonly dumps: Dumps },
): Applied | null {
  switch (change.kind) {
    case 'link':
      return linkExists(change, space, spaces);
    case 'address': {
      const index = space.indexOf(change.device);
      if (index === null) return null;
      const same = space.route
        .collect(dumpAddresses({ index }))
        .filter((entry) => addressOf(entry.address) === addressOf(change.address));
      if (same.some((entry) => entry.address === change.address)) return ALREADY;
      return same[0] === undefined ? null : conflicting(change, `address is ${same[0].address}, not ${change.address}`);
    }
    case 'route': {
      const found = dumps.routesAt(change.route, (info) => routeState(info, (index) => space.nameOf(index)));
      const [first] = found;
      if (first === undefined) return null;
      const differences = found.map((route) => routeDifference(change.route, route));
      return differences.includes(null) ? ALREADY : conflicting(change, differences[0] ?? '');
    }
    case 'rule':
      // The kernel compares every field.
      return ALREADY;
    case 'fdb':
    case 'neighbour':
    case 'link-set':
      return already(change, space, dumps);
  }
}

function linkExists(change: Extract<Change, { kind: 'link' }>, space: Space, spaces: Spaces): Applied | null {
  const { link } = change;
  space.forgetLink(link.name);
  const info = space.find(link.name);
  const { kind } = link;
  if (info === null) {
    // The name that is taken is that of the pair's other end.
    if (kind.type !== 'veth') return null;
    const other = spaces.tryGet(kind.peer.netns);
    other?.forgetLink(kind.peer.name);
    if (other === null || other.find(kind.peer.name) === null) return null;
    return conflicting(change, `${kind.peer.name} in ${kind.peer.netns} is not the other end of ${link.name}`);
  }
  const peer =
    kind.type === 'veth' && info.type === 'veth'
      ? peerName(info, kind.peer.netns, { space, spaces, expected: kind.peer.name })
      : null;
  const difference = linkDifference(link, linkState(info, space), peer);
  return difference === null ? ALREADY : conflicting(change, difference);
}

/** Name of a pair's other end if it is in this namespace; 'none' when it is not there; null when that cannot be told. */
function peerName(info: LinkInfo, netns: string, at: { space: Space; spaces: Spaces; expected: string }): string | null {
  const other = netns === at.space.netns ? at.space : at.spaces.tryGet(netns);
  if (other === null) return null;
  other.forgetLink(at.expected);
  const peer = other.find(info.link);
  return peer?.type === 'veth' && peer.link === info.index ? peer.name : 'none';
}

/**
 * Of a change whose message replaces in silence: is it as wanted already, or somebody's?
 * @returns null when there is something to do
 */
export function already(
  change: Extract<RouteChange, { kind: 'link-set' | 'neighbour' | 'fdb' }>,
  space: Space,
  dumps: Dumps,
): Applied | null {
  switch (change.kind) {
    case 'link-set': {
      const info = space.find(change.name);
      if (info === null) return missing(change, `no device ${change.name}`);
      return attributesDifference(change.value, linkState(info, space)) === null ? ALREADY : null;
    }
    case 'neighbour': {
      const { device, address, mac, state } = change.neighbour;
      const index = space.indexOf(device);
      if (index === null) return null;
      const old = dumps.neighbour(index, address);
      if (old === undefined) return change.op === 'add' ? null : ALREADY;
      if (change.op === 'remove') return null;
      if (old.mac === mac && old.state === state) return ALREADY;
      // What was learned may be replaced.
      return old.state === 'permanent' ? conflicting(change, `lladdr is ${old.mac} ${old.state}, not ${mac} ${state}`) : null;
    }
    case 'fdb': {
      const { device, mac, destination } = change.entry;
      const index = space.indexOf(device);
      if (index === null) return null;
      const on = fdbTable(change.entry);
      const entries = dumps.fdb({ index, on }, mac);
      const same = entries.some((entry) => entry.index === index && entry.destination === destination);
      if (change.op === 'remove') return same ? null : ALREADY;
      if (same) return ALREADY;
      const other =
        mac === EVERY ? undefined : entries.find((entry) => entry.index === index && entry.destination !== destination);
      return other === undefined
        ? null
        : conflicting(change, `dst is ${other.destination ?? 'none'}, not ${destination ?? 'none'}`);
    }
  }
}
