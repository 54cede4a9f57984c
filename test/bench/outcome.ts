/** What a flush of the rules did to those who used a published port meanwhile. */
import type { Attempt, Steady } from './steady.child.ts';

/** Whoever is served after that has had a packet sent again; the shortest wait for that is 200 ms (TCP_RTO_MIN). */
export const LATE_MS = 200;

/** What one flush did; milliseconds, and numbers of connections. */
export interface Outcome {
  /** Until the rules are there again. */
  readonly back: number;
  /** Until somebody who came after it is served. null: nobody was until the next flush. */
  readonly served: number | null;
  readonly refused: number;
  /** Not served for any other reason. */
  readonly failed: number;
  /** Served after LATE_MS or more. */
  readonly late: number;
  /** Served by a proxy: the server does not see who asks. */
  readonly moved: number;
  /** The longest of an established connection. */
  readonly silence: number;
}

/** Times as in `Steady`. */
interface Span {
  readonly gone: number;
  readonly back: number;
  /** Whose attempts are this flush's. */
  readonly from: number;
  readonly to: number;
}

export function outcomeOf({ attempts, silences }: Steady, { gone, back, from, to }: Span): Outcome {
  const within = attempts.filter(({ at }) => at >= from && at < to);
  const count = (is: (attempt: Attempt) => boolean): number => within.filter(is).length;
  const isServed = ({ end }: Attempt): boolean => end === 'served' || end === 'moved';
  const longest = silences.filter((one) => one.from < to && one.to > gone).map((one) => one.to - one.from);
  return {
    back: back - gone,
    served: firstServed(within, gone, isServed),
    refused: count(({ end }) => end === 'ECONNREFUSED'),
    failed: count((one) => !isServed(one) && one.end !== 'ECONNREFUSED'),
    late: count((one) => isServed(one) && one.took >= LATE_MS),
    moved: count(({ end }) => end === 'moved'),
    silence: Math.max(0, ...longest),
  };
}

/** @returns milliseconds from `since` until the first of those that began after it has been served; null: none was */
export function firstServed(attempts: readonly Attempt[], since: number, accepts: (attempt: Attempt) => boolean): number | null {
  const ends = attempts.filter((one) => one.at >= since && accepts(one)).map(({ at, took }) => at + took - since);
  return ends.length === 0 ? null : Math.min(...ends);
}
