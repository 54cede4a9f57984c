/**
 * Deletes links without waiting until the kernel has forgotten them. A link that is deleted is first closed and taken off the list, which
 * takes under a millisecond and is told to all listeners; then the kernel waits until nobody can still hold it (rcu_barrier() in
 * netdev_run_todo(), net/core/dev.c), 10 to 20 ms, before it frees the memory, and only then does the send return. So the send happens on a
 * thread of Node's pool, and we go on at the notification: name and addresses are free, no packet flows, nothing shows the link.
 */
import type { MoorError } from '../base/errors.ts';
import { hasCode } from '../sys/errors.ts';
import type { Fd } from '../sys/fd.ts';
import { pollReadable } from '../sys/poll.ts';
import { openRouteMonitor } from './monitor.ts';
import type { Request } from './request.ts';
import { NetlinkSocket } from './socket.ts';

/** Deletions that the kernel may be busy with at a time: Node's pool has 4 threads, and one is left for its other users. */
const LIMIT = 3;
/** Without any sign for so long (milliseconds) we send it ourselves: that of the pool has failed, or waits behind something long. */
const PATIENCE = 2000;

/** The kernel is busy with these; each may be readable before its owner closes it on the event loop. */
const busy = new Set<NetlinkSocket>();

export interface Deletion {
  /** RTM_DELLINK */
  readonly request: Request;
  /** The links that it deletes, or those of them that matter: of a veth pair, one end. */
  readonly names: readonly string[];
  readonly netns: Fd;
  /** A socket in there. */
  readonly route: NetlinkSocket;
}

/** Returns when none of the links is in the namespace any more. @returns null = done, or what the kernel says */
export function deleteAside({ request, names, netns, route }: Deletion): MoorError | null {
  makeRoom();
  using monitor = openRouteMonitor({ netns, linksOnly: true });
  const socket = NetlinkSocket.open('route', netns);
  busy.add(socket);
  const answer = socket.executeAside(request, () => {
    busy.delete(socket);
    socket.close();
  });
  const left = new Set(names);
  for (const deadline = performance.now() + PATIENCE; performance.now() < deadline; ) {
    pollReadable([socket.fd, monitor.fd], PATIENCE);
    for (const event of monitor.drain()) {
      // A port that leaves its bridge is told the same way.
      if (event.type === 'link' && event.gone && !event.port) left.delete(event.name);
    }
    if (left.size === 0) return null;
    const said = answer();
    if (said !== undefined) return said;
  }
  const error = route.execute([request])[0] ?? null;
  return hasCode(error, 'ENODEV') ? null : error;
}

/** Waits for the oldest when there are too many. */
function makeRoom(): void {
  for (const socket of busy) {
    if (busy.size < LIMIT) return;
    pollReadable([socket.fd], PATIENCE);
    busy.delete(socket);
  }
}
