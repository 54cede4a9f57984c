/** Keeps the reconciler from fighting another program for ever: whoever needs repair again and again waits longer each time. */

/** Repairs of one owner within the window before it has to wait. */
const PATIENCE = 5;
/** Milliseconds in which they count; an owner that was quiet for this long starts afresh. */
const WINDOW = 10_000;
/** First and longest wait in milliseconds; doubles in between. */
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 60_000;

interface Record {
  times: number[];
  wait: number;
  until: number;
}

export class Backoff {
  readonly #owners = new Map<string, Record>();

  /** Milliseconds until this owner may be repaired again; 0 = now. */
  delay(owner: string, now: number): number {
    const record = this.#owners.get(owner);
    return record === undefined ? 0 : Math.max(0, record.until - now);
  }

  /** @returns the wait that begins with this repair when there is one, in milliseconds, else null. */
  repaired(owner: string, now: number): number | null {
    const record = this.#owners.get(owner) ?? { times: [], wait: 0, until: 0 };
    this.#owners.set(owner, record);
    const quiet = now - (record.times.at(-1) ?? now);
    if (quiet > WINDOW + record.wait) record.wait = 0;
    record.times = [...record.times.filter((time) => now - time < WINDOW), now];
    if (record.wait === 0 && record.times.length < PATIENCE) return null;
    record.wait = record.wait === 0 ? FIRST_WAIT : Math.min(record.wait * 2, LONGEST_WAIT);
    record.until = now + record.wait;
    return record.wait;
  }

  /** Forgets owners that are no more. */
  retain(exists: (owner: string) => boolean): void {
    for (const owner of this.#owners.keys()) if (!exists(owner)) this.#owners.delete(owner);
  }
}
