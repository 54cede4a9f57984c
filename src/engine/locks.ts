/**
 * Locks of the engine. `World` is held shared by every operation and exclusively by what looks at everything at once (repair,
 * sweep, reset), so that a sweep never meets a half-made network. Beside it one lock per sandbox keeps operations on one sandbox
 * in order. A network needs none: what two operations could fight over (its name, its addresses, its ports, its removal) is
 * reserved in one synchronous stretch. Order of acquisition: world, then one sandbox; nothing takes two sandboxes.
 */
import type { Held } from '../base/keyed-lock.ts';

interface Waiter {
  readonly exclusive: boolean;
  readonly admit: () => void;
}

/** Many readers or one writer, in order of arrival: a waiting writer holds back later readers, so it cannot starve. */
export class SharedLock {
  #readers = 0;
  #writer = false;
  readonly #queue: Waiter[] = [];

  shared(): Promise<Held> {
    return this.#acquire(false);
  }

  exclusive(): Promise<Held> {
    return this.#acquire(true);
  }

  #acquire(exclusive: boolean): Promise<Held> {
    return new Promise((resolve) => {
      this.#queue.push({ exclusive, admit: () => resolve(this.#hold(exclusive)) });
      this.#drain();
    });
  }

  #hold(exclusive: boolean): Held {
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        if (exclusive) this.#writer = false;
        else this.#readers--;
        this.#drain();
      },
    };
  }

  #drain(): void {
    for (;;) {
      const next = this.#queue[0];
      if (next === undefined || this.#writer || (next.exclusive && this.#readers > 0)) return;
      this.#queue.shift();
      if (next.exclusive) this.#writer = true;
      else this.#readers++;
      next.admit();
    }
  }
}
