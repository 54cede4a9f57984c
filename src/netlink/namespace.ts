/** A network namespace with a socket inside. */
import type { Fd } from '../sys/fd.ts';
import { createNetns, openNetns, unpinNetns } from '../sys/netns.ts';
import { setLink } from './link.ts';
import { NetlinkSocket } from './socket.ts';

export interface Namespace extends Disposable {
  readonly netns: Fd;
  /** A route socket inside. */
  readonly route: NetlinkSocket;
}

/** The loopback has this index in every namespace (LOOPBACK_IFINDEX, <net/flow.h>). */
const LOOPBACK = 1;

/**
 * Makes a namespace with its loopback up, and pins it. Costs the kernel some hundred microseconds.
 * @param path of the pin; nothing is left behind on failure
 * @throws conflict (EEXIST) when there is one
 */
export function createNamespace(path: string): Namespace {
  const route = createNetns(path, () => {
    const socket = NetlinkSocket.open('route');
    try {
      socket.run(setLink(LOOPBACK, { up: true }));
      return socket;
    } catch (error) {
      socket.close();
      throw error;
    }
  });
  try {
    return namespaceOf(openNetns(path), route);
  } catch (error) {
    route.close();
    unpinNetns(path);
    throw error;
  }
}

/** @throws not-found when there is no namespace at this path */
export function openNamespace(path: string): Namespace {
  const netns = openNetns(path);
  try {
    return namespaceOf(netns, NetlinkSocket.open('route', netns));
  } catch (error) {
    netns.close();
    throw error;
  }
}

const namespaceOf = (netns: Fd, route: NetlinkSocket): Namespace => ({
  netns,
  route,
  [Symbol.dispose]() {
    route.close();
    netns.close();
  },
});
