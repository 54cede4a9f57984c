/** Looks for the largest packet that a path takes: several sizes at a time, so that few round trips tell. Pure. */

/** Sizes of one volley. The range shrinks by this factor and one each time: 9,000 bytes take four. */
const VOLLEY = 15;

export class Search {
  /** The largest that is known to come through, and the smallest above it that is not. */
  #low: number;
  #high: number;
  /** Sizes that routers on the way have named. */
  readonly #hints = new Set<number>();
  #volley: readonly number[] = [];
  #best = 0;
  /** The last volley had no answer at all: it may have been lost as a whole, and is sent once more. */
  #missed = false;

  /** @param low comes through @param high does not; bytes */
  constructor(low: number, high: number) {
    this.#low = low;
    this.#high = high;
  }

  /** The largest that came through. */
  get low(): number {
    return this.#low;
  }

  /** What to try next, rising; empty: it is known. */
  next(): readonly number[] {
    const [low, high] = [this.#low, this.#high];
    const between = high - low - 1;
    if (between <= 0) return (this.#volley = []);
    const sizes = new Set<number>();
    for (const hint of this.#hints) for (const size of [hint, hint + 1]) if (size > low && size < high) sizes.add(size);
    this.#hints.clear();
    const count = Math.min(VOLLEY, between);
    for (let i = 1; i <= count; i++) sizes.add(low + Math.round(((high - low) * i) / (count + 1)));
    this.#best = low;
    return (this.#volley = [...sizes].filter((size) => size > low && size < high).toSorted((a, b) => a - b));
  }

  answered(size: number): void {
    if (size > this.#best && this.#volley.includes(size)) this.#best = size;
  }

  /** @param mtu of the next link, as a router says; 0: it does not say */
  tooBig(mtu: number): void {
    if (mtu > this.#low && mtu < this.#high) this.#hints.add(mtu);
  }

  /** No more answers to the volley come. */
  settle(): void {
    const nothing = this.#best === this.#low;
    if (nothing && !this.#missed) {
      this.#missed = true;
      return;
    }
    this.#missed = false;
    this.#low = this.#best;
    // One that was lost makes the result smaller, never larger.
    this.#high = this.#volley.find((size) => size > this.#best) ?? this.#high;
  }
}
