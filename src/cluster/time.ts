/** Waiting, as a port: tests of days run in milliseconds. */
import { setTimeout as timer } from 'node:timers/promises';

/** Resolves after the time, in milliseconds, or when the signal aborts. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

export const realSleep: Sleep = (ms, signal) => timer(ms, undefined, { signal }).catch(() => {});

/** Between tries at a store that is away, in milliseconds: the first, and the longest. */
const FIRST_MS = 100;
const LONGEST_MS = 5_000;

/** @param failures in a row, from 1. @param random 0 to 1: 5,000 nodes do not come back in one moment. */
export const backoffMs = (failures: number, random: number): number =>
  Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10)) * (0.5 + random / 2);

/** A sleep that can be cut short; a kick that comes while nobody sleeps is not lost. */
export class Alarm {
  #kicked = false;
  #wake: (() => void) | null = null;

  readonly kick = (): void => {
    this.#kicked = true;
    this.#wake?.();
  };

  async wait(sleep: Sleep, ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#kicked) {
      const cut = new AbortController();
      this.#wake = () => cut.abort();
      await sleep(ms, AbortSignal.any([signal, cut.signal]));
      this.#wake = null;
    }
    this.#kicked = false;
  }
}
