/**
 * Deletes links without waiting until the kernel has forgotten them. The kernel takes them off its lists within a millisecond: from then
 * on nobody can find or use them. Then it waits, several times 10 to 20 ms (RCU), for whoever still holds one, before it frees the
 * memory, and only then does the send return. So another thread sends, and we go on at the first sign that the links are gone:
 *
 * - RTM_DELNETCONF, when the IPv4 settings of a link go (inetdev_destroy()); a bridge comes to its first wait, for its multicast
 *   groups, right after that (br_multicast_dev_del()), still holding the lock that all changes of links need;
 * - RTM_DELLINK, for one that has no IPv4 settings;
 * - the answer, which says why not, when the kernel refuses.
 *
 * docs/adr/0005 has the measurements, and what else was tried.
 */
import { randomInt } from 'node:crypto';
import { MoorError } from '../base/errors.ts';
import { pollReadable } from '../sys/poll.ts';
import { deleteGroup, deleteLink, getLink, setLink } from './link.ts';
import type { LinkRef } from './link-spec.ts';
import { openDepartureMonitor } from './monitor.ts';
import type { Namespace } from './namespace.ts';
import type { Request } from './request.ts';
import { type Aside, NetlinkSocket } from './socket.ts';

/** Deletions that the kernel may be busy with at a time: the C library has 20 threads for them (aio_init(3)). */
const LIMIT = 16;
/** Milliseconds between two looks at what the kernel has finished. */
const COLLECT_AFTER = 25;
/** Milliseconds without any sign after which we ask whether the other thread failed to send. */
const PATIENCE = 1000;

/**
 * Several are deleted by one message, so that the kernel waits once for all of them: they are put in a group of their own, and the group
 * is deleted. In one message all links are off the lists before the first is told to go.
 * @returns one entry per link: null = gone, or why not (gone already: ENODEV)
 */
export function deleteLinks(space: Namespace, links: readonly LinkRef[]): readonly (MoorError | null)[] {
  const { route } = space;
  if (links.length < 2) return links.map((link) => deleteAside(space, deleteLink(link), [link]));
  const group = randomInt(FIRST_GROUP, 2 * FIRST_GROUP);
  const marked = route.execute(links.map((link) => ({ ...setLink(link, { group }), what: deleteLink(link).what })));
  const members = links.filter((_, i) => marked[i] === null);
  if (members.length === 0 || deleteAside(space, deleteGroup(group), members) === null) return marked;
  // One that cannot be deleted, such as a physical device, spoils the group for the others.
  return links.map((link, i) => {
    const error = marked[i] ?? route.execute([deleteLink(link)])[0] ?? null;
    if (error && !marked[i]) route.execute([setLink(link, { group: 0 })]);
    return error;
  });
}

/** Small numbers are given by people (/etc/iproute2/group); a random large one is nobody's. */
const FIRST_GROUP = 2 ** 30;

/** The kernel is at these. */
const busy: { readonly socket: NetlinkSocket; readonly aside: Aside }[] = [];
let collector: NodeJS.Timeout | undefined;

/** @param links what the request deletes. @returns when they are gone: null; or what the kernel says */
function deleteAside({ route, netns }: Namespace, request: Request, links: readonly LinkRef[]): MoorError | null {
  const indexes = new Set(links.flatMap((link) => (typeof link === 'number' ? link : (route.find(getLink(link))?.index ?? []))));
  if (indexes.size === 0) return route.execute([request])[0] ?? null;
  collect();
  while (busy.length >= LIMIT) {
    pollReadable(
      busy.map(({ socket }) => socket.fd),
      COLLECT_AFTER,
    );
    collect();
  }
  using monitor = openDepartureMonitor(netns);
  const socket = NetlinkSocket.open('route', netns);
  const aside = start(socket, request);
  if (aside === null) return route.execute([request])[0] ?? null;
  for (;;) {
    pollReadable([socket.fd, monitor.fd], PATIENCE);
    const sent = aside.done();
    if (monitor.drain().some((event) => event.type === 'departure' && indexes.has(event.index))) return null;
    const said = aside.answer();
    if (said !== undefined) return said;
    if (sent) return route.execute([request])[0] ?? null;
  }
}

/** @returns null when there is no thread for it */
function start(socket: NetlinkSocket, request: Request): Aside | null {
  try {
    const aside = socket.executeAside(request);
    busy.push({ socket, aside });
    collector ??= setTimeout(collect, COLLECT_AFTER);
    return aside;
  } catch (error) {
    socket.close();
    if (error instanceof MoorError) return null;
    throw error;
  }
}

/** Closes what the kernel has finished: an open socket keeps its namespace alive. A thread does not end before. */
function collect(): void {
  for (const one of busy.splice(0)) {
    if (one.aside.done()) one.socket.close();
    else busy.push(one);
  }
  clearTimeout(collector);
  collector = busy.length === 0 ? undefined : setTimeout(collect, COLLECT_AFTER);
}
