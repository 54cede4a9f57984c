/** Waiting, as a port: tests of days run in milliseconds. */
import { setTimeout as timer } from 'node:timers/promises';

/** Resolves after the time, in milliseconds, or when the signal aborts. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

export const realSleep: Sleep = (ms, signal) => timer(ms, undefined, { signal }).catch(() => {});

/** Between the first tries at a store that is away, in milliseconds; twice as long each time. */
const FIRST_MS = 100;
/** The longest, as a share of a node's time to live: for that time after an outage the others wait. */
const LONGEST_SHARE = 1 / 6;

/** When to try again. */
export interface Patience {
  readonly nodeTtlMs: number;
  /** 0 to 1: 5,000 nodes do not come back in one moment. */
  readonly random: () => number;
}

/** @param failures in a row, from 1. @returns milliseconds */
export const backoffMs = (failures: number, { nodeTtlMs, random }: Patience): number =>
  Math.min(nodeTtlMs * LONGEST_SHARE, FIRST_MS * 2 ** Math.min(failures - 1, 10)) * (0.5 + random() / 2);

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
