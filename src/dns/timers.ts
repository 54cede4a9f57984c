/** Many short times, each started and stopped in constant time: a wheel. */

/** Milliseconds of a place on the wheel: times end up to this much late. */
const TICK = 16;
/** Places: 32 seconds, twice what is ever asked for, as the wheel may be one wait behind when a time starts. */
const PLACES = 2048;

export class Timer {
  readonly fire: () => void;
  /** On the wheel; -1: not running. */
  place = -1;

  constructor(fire: () => void) {
    this.fire = fire;
  }
}

export class Timers {
  readonly #clock: { readonly now: number };
  readonly #failed: (error: unknown) => void;
  /** Sets are made when they are needed: most places never hold anything. */
  readonly #wheel: (Set<Timer> | undefined)[] = Array.from({ length: PLACES });
  /** The last tick that was run. */
  #tick: number;
  #count = 0;

  /** @param failed hears what a timer threw: the others fire all the same */
  constructor(clock: { readonly now: number }, failed: (error: unknown) => void) {
    this.#clock = clock;
    this.#failed = failed;
    this.#tick = Math.floor(clock.now / TICK);
  }

  /** @param delay milliseconds, at most 16,000; a running timer starts anew */
  start(timer: Timer, delay: number): void {
    this.stop(timer);
    // Nobody turned the wheel while nothing was on it.
    if (this.#count === 0) this.#tick = Math.floor(this.#clock.now / TICK);
    const due = Math.ceil((this.#clock.now + delay) / TICK);
    const ahead = Math.min(Math.max(due - this.#tick, 1), PLACES - 1);
    timer.place = (this.#tick + ahead) % PLACES;
    (this.#wheel[timer.place] ??= new Set()).add(timer);
    this.#count++;
  }

  stop(timer: Timer): void {
    if (timer.place < 0) return;
    this.#wheel[timer.place]?.delete(timer);
    timer.place = -1;
    this.#count--;
  }

  /** @returns milliseconds until something is due; -1: nothing is running */
  wait(): number {
    if (this.#count === 0) return -1;
    for (let ahead = 1; ahead < PLACES; ahead++) {
      if ((this.#wheel[(this.#tick + ahead) % PLACES]?.size ?? 0) === 0) continue;
      return Math.max(0, Math.ceil((this.#tick + ahead) * TICK - this.#clock.now));
    }
    return 0;
  }

  /** Fires what is due. */
  run(): void {
    const now = Math.floor(this.#clock.now / TICK);
    if (this.#count === 0) this.#tick = now;
    while (this.#tick < now) {
      this.#tick++;
      const due = this.#wheel[this.#tick % PLACES];
      if (due === undefined || due.size === 0) continue;
      for (const timer of [...due]) {
        // An earlier one may have stopped it, or started it anew.
        if (timer.place !== this.#tick % PLACES) continue;
        this.stop(timer);
        try {
          timer.fire();
        } catch (error) {
          this.#failed(error);
        }
      }
    }
  }
}
