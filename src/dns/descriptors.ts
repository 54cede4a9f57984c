/**
 * Which descriptors the thread has open, known to both threads. Descriptors belong to the process: of a thread that died they would stay
 * open, and keep the ports that the next one needs.
 */
import { Fd } from '../sys/fd.ts';

/** More than the limit of most systems (`ulimit -Hn`); those above are not noted, and lost when the thread dies. */
const LIMIT = 1 << 20;

export class Descriptors {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(LIMIT / 8)) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
  }

  opened(number: number): void {
    if (number < LIMIT) Atomics.or(this.#words, number >>> 5, 1 << (number & 31));
  }

  closed(number: number): void {
    if (number < LIMIT) Atomics.and(this.#words, number >>> 5, ~(1 << (number & 31)));
  }

  /** After the end of the thread that opened them. */
  closeAll(): void {
    for (let word = 0; word < this.#words.length; word++) {
      if (Atomics.load(this.#words, word) === 0) continue;
      for (let bit = 0; bit < 32; bit++) {
        const number = word * 32 + bit;
        if (((this.#words[word] ?? 0) & (1 << bit)) === 0) continue;
        new Fd(number, 'socket of a thread that died').close();
        this.closed(number);
      }
    }
  }
}
