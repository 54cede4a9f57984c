/**
 * Time for deadlines of behaviour, on a machine that does other things as well: it counts turns of a small piece of work of the kind that such a
 * deadline is spent with, a pause, then a process that asks for the kernel's lock of links and routes (RTNL). On a machine that is in no hurry a
 * turn takes what it should and this is time as everybody knows it; where others get the processors, the lock or the whole machine, it goes slower by as much.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../support/daemon.ts';

const PAUSE_MS = 10;
/** Of one turn on an idle machine of two processors: the pause, and 5 to 7 for the process. */
const TURN_MS = 16;

export interface MachineClock extends AsyncDisposable {
  /** Milliseconds since it was started, by what the machine got done: never more than really went by. */
  readonly ms: () => number;
  /** Milliseconds that really went by. */
  readonly real: () => number;
}

export function startClock(): MachineClock {
  const began = performance.now();
  const stop = new AbortController();
  let turns = 0;
  const running = (async () => {
    while (!stop.signal.aborted) {
      await sleep(PAUSE_MS);
      await run('ip', ['link', 'set', 'lo', 'up']);
      turns++;
    }
  })();
  const real = (): number => performance.now() - began;
  return {
    // The turn that goes on counts as done.
    ms: () => Math.min(real(), (turns + 1) * TURN_MS),
    real,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
    },
  };
}

/** A moment, by both clocks: what is judged, and what is told. */
export interface Moment {
  readonly ms: number;
  readonly real: number;
}

export const moment = (clock: MachineClock): Moment => ({ ms: clock.ms(), real: clock.real() });

export const since = (from: Moment, to: Moment): Moment => ({ ms: to.ms - from.ms, real: to.real - from.real });

/** `412 ms`, and in parentheses what of them the machine had for it, where that is less. */
export const spent = ({ ms, real }: Moment): string =>
  `${Math.round(real)} ms${ms < real - 1 ? ` (${Math.round(ms)} of the machine's)` : ''}`;
