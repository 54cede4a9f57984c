/** How long our rules are missing after somebody has flushed the ruleset, by the kernel's own notifications. */
import { once } from 'node:events';
import type { TestDaemon } from '../support/daemon.ts';
import { type Monitor, type NftEvent, openNftMonitor } from '../../src/netlink/monitor.ts';
import { openNetns } from '../../src/sys/netns.ts';
import { pollReadable } from '../../src/sys/poll.ts';

/** Stop a run that hangs. */
const LIMIT_MS = 10_000;

/**
 * @param elements at least so many come back
 * @returns milliseconds between two transactions: the one in which the table went, and the one that brought it back
 * @throws Error when it is not back in time
 */
export async function flushRules(daemon: TestDaemon, elements: number): Promise<number> {
  using netns = openNetns(`/proc/${daemon.holder}/ns/net`);
  using monitor = openNftMonitor({ netns });
  const child = daemon.spawnInside('nft', 'flush', 'ruleset');
  await once(child, 'spawn');
  // A thread of its own would be more exact by the time of one turn of the loop; this process has nothing else to do meanwhile.
  const gone = until(monitor, (events) => events.some((event) => event.object === 'table' && event.gone));
  const back = until(monitor, (events) => events.filter((event) => event.object === 'element' && !event.gone).length >= elements);
  return back - gone;
}

type Part = NftEvent & { readonly type: 'nft' };

/** Waits, blocking, for the end of a transaction. @returns when it was seen */
function until(monitor: Monitor<NftEvent>, accepts: (events: readonly Part[]) => boolean): number {
  let events: Part[] = [];
  for (const end = performance.now() + LIMIT_MS; performance.now() < end; ) {
    pollReadable([monitor.fd], LIMIT_MS);
    const now = performance.now();
    for (const event of monitor.drain()) {
      if (event.type === 'overrun') throw new Error('notifications of nftables were lost');
      if (event.type === 'nft') events.push(event);
      else if (accepts(events)) return now;
      else events = [];
    }
  }
  throw new Error(`no such transaction in ${LIMIT_MS} ms`);
}
