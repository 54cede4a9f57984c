/**
 * Whether to look once more, or to sleep. While packets come a few microseconds apart, sleeping is what costs most: whoever brings the next one has to wake us,
 * which on an idle CPU is an interrupt to it (in a virtual machine a way out of it and back), and meanwhile the sender's window is used up. So after a packet the
 * process looks on for a moment, if the last sleeps were shorter than such a moment would have been: of a ping, or of a thousand packets a second, it takes no notice.
 */
const LINGER_MS = 0.02;

export class Linger {
  #worked = 0;
  /** Milliseconds to look on after the last packet. */
  #window = 0;

  /** @param now milliseconds, as all here: there were packets */
  packets(now: number): void {
    this.#worked = now;
  }

  /** There were none. @returns false: sleep */
  goesOn(now: number): boolean {
    if (now - this.#worked < this.#window) return true;
    this.#window = 0;
    return false;
  }

  /** Something has ended the sleep. */
  woken(now: number): void {
    this.#window = now - this.#worked < 2 * LINGER_MS ? LINGER_MS : 0;
  }
}
