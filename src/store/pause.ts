/** Waiting that is bounded by a time and a signal, and never throws because of them. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Longest delay of a timer, in milliseconds; above it Node fires at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Ends early when the signal aborts. No time, or less: at once. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0) return;
  try {
    await sleep(Math.min(ms, TIMER_MAX_MS), undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Until the promise is settled, the time is up or the signal aborts. What the promise was settled with is the caller's to find out. */
export async function settled(promise: Promise<unknown>, ms: number, signal: AbortSignal): Promise<void> {
  const early = new AbortController();
  const quiet = promise.then(
    () => {},
    () => {},
  );
  try {
    await Promise.race([quiet, pause(ms, AbortSignal.any([signal, early.signal]))]);
  } finally {
    early.abort();
  }
}
