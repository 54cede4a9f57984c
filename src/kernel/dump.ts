/** What a namespace has, dumped. */
import type { Netns } from '../contracts/change.ts';
import type { NetnsState, SnapshotPart } from '../contracts/kernel.ts';
import { dumpAddresses } from '../netlink/address.ts';
import { dumpFdb } from '../netlink/fdb.ts';
import { dumpLinks } from '../netlink/link.ts';
import { dumpNeighbours } from '../netlink/neighbour.ts';
import { dumpRoutes } from '../netlink/route.ts';
import { dumpRules } from '../netlink/rule.ts';
import { netnsIdentity } from '../sys/netns.ts';
import { linkState, routeState } from './existing.ts';
import type { Space, Spaces } from './spaces.ts';

/** RT_TABLE_LOCAL, <linux/rtnetlink.h>: the kernel's own. */
const LOCAL = 255;

export function dump(space: Space, parts: readonly SnapshotPart[]): NetnsState {
  const has = (part: SnapshotPart): boolean => parts.includes(part);
  const { route } = space;
  // Everything but rules names links by index.
  const links = parts.some((part) => part !== 'rules') ? route.collect(dumpLinks()) : [];
  for (const { name, index } of links) space.learn(name, index);
  const nameOf = (index: number): string => space.nameOf(index);
  return {
    netns: space.netns,
    identity: netnsIdentity(space.namespace.netns),
    links: has('links') ? links.map((info) => linkState(info, space)) : [],
    addresses: has('addresses')
      ? route.collect(dumpAddresses()).map(({ index, address, kernel }) => ({ device: nameOf(index), address, kernel }))
      : [],
    routes: has('routes')
      ? ([4, 6] as const)
          .flatMap((family) => route.collect(dumpRoutes(family)))
          .filter(({ table }) => table !== LOCAL)
          .map((info) => routeState(info, nameOf))
      : [],
    rules: has('rules') ? ([4, 6] as const).flatMap((family) => route.collect(dumpRules(family))) : [],
    neighbours: has('neighbours')
      ? ([4, 6] as const)
          .flatMap((family) => route.collect(dumpNeighbours(family)))
          .map(({ index, ...entry }) => ({ device: nameOf(index), ...entry }))
      : [],
    fdb: has('fdb')
      ? route.collect(dumpFdb()).map(({ index, mac, destination }) => ({
          device: nameOf(index),
          mac,
          ...(destination === undefined ? {} : { destination }),
        }))
      : [],
  };
}

/** The same for a list of namespaces; null where one is gone. */
export function dumpAll(spaces: Spaces, netns: readonly Netns[], parts: readonly SnapshotPart[]): (NetnsState | null)[] {
  return netns.map((path) => {
    spaces.trim();
    const space = spaces.tryGet(path);
    return space === null ? null : dump(space, parts);
  });
}
