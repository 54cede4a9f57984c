/** Lines in the log about what others have written, each once. */
import type { Logger } from '../base/clock.ts';

/** Remembered at most; then telling begins anew. */
const REMEMBERED = 1_000;

export class Complaints {
  readonly #logger: Logger;
  readonly #told = new Set<string>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(key: string, why: string): void {
    const line = `${key}\n${why}`;
    if (this.#told.has(line)) return;
    if (this.#told.size >= REMEMBERED) this.#told.clear();
    this.#told.add(line);
    this.#logger.warn({ key, why }, 'cluster: passed over an entry');
  }
}
