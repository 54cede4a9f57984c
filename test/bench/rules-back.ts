/** How long our rules are missing after somebody has flushed the ruleset, by the kernel's own notifications. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Monitor, type NftEvent, openNftMonitor } from '../../src/netlink/monitor.ts';
import { openNetns } from '../../src/sys/netns.ts';
import { pollReadable } from '../../src/sys/poll.ts';
import { now } from './steady.child.ts';

/** Stop a run that hangs. */
const LIMIT_MS = 10_000;

export interface Flush {
  /** When the transaction was seen in which the tables went; milliseconds of CLOCK_MONOTONIC. */
  readonly gone: number;
  /** When the one was that brought ours back. */
  readonly back: number;
}

/**
 * @param holder pid of a process in the network namespace of the host
 * @param elements at least so many come back; null: nothing is expected to, and `back` is as `gone`
 * @throws Error when they are not back in time
 */
export async function flushRules(holder: number, elements: number | null): Promise<Flush> {
  using netns = openNetns(`/proc/${holder}/ns/net`);
  using monitor = openNftMonitor({ netns });
  const child = spawn('nsenter', ['-t', String(holder), '--net', '--', 'nft', 'flush', 'ruleset'], { stdio: 'inherit' });
  await once(child, 'spawn');
  // A thread of its own would be more exact by the time of one turn of the loop; this process has nothing else to do meanwhile.
  const gone = until(monitor, (events) => events.some((event) => event.object === 'table' && event.gone));
  if (elements === null) return { gone, back: gone };
  const back = until(monitor, (events) => events.filter((event) => event.object === 'element' && !event.gone).length >= elements);
  return { gone, back };
}

type Part = NftEvent & { readonly type: 'nft' };

/** Waits, blocking, for the end of a transaction. @returns when it was seen */
function until(monitor: Monitor<NftEvent>, accepts: (events: readonly Part[]) => boolean): number {
  let events: Part[] = [];
  for (const end = now() + LIMIT_MS; now() < end; ) {
    pollReadable([monitor.fd], LIMIT_MS);
    const seen = now();
    for (const event of monitor.drain()) {
      if (event.type === 'overrun') throw new Error('notifications of nftables were lost');
      if (event.type === 'nft') events.push(event);
      else if (accepts(events)) return seen;
      else events = [];
    }
  }
  throw new Error(`no such transaction in ${LIMIT_MS} ms`);
}
