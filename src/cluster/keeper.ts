/** Keeps what is known on this node's own disk: what is this node's own at once, what others change not too often. */
import type { Logger } from '../base/clock.ts';
import { errorData } from '../base/errors.ts';
import type { Sleep } from './time.ts';

export interface KeeperDeps {
  /** As it is when it is written. */
  readonly text: () => string;
  readonly keep: (text: string) => Promise<void>;
  readonly sleep: Sleep;
  readonly logger: Logger;
}

/** Between two writes of what others change, in milliseconds: at 5,000 nodes one is 5 MB. */
const KEEP_MS = 5_000;

export class Keeper {
  readonly #deps: KeeperDeps;
  readonly #closed = new AbortController();
  /** Aborted: the one that waits is written now. */
  #now = new AbortController();
  #waiting: Promise<void> | null = null;
  #writing: Promise<void> = Promise.resolve();

  constructor(deps: KeeperDeps) {
    this.#deps = deps;
  }

  /** Others have changed something. */
  later(): void {
    this.#waiting ??= this.#wait();
  }

  /** @returns when it is written */
  now(): Promise<void> {
    this.#now.abort();
    return (this.#waiting ??= this.#wait());
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#waiting;
    await this.#writing;
  }

  async #wait(): Promise<void> {
    const { sleep } = this.#deps;
    await sleep(KEEP_MS, AbortSignal.any([this.#now.signal, this.#closed.signal]));
    this.#now = new AbortController();
    this.#waiting = null;
    const text = this.#deps.text();
    // One after the other: what is written last is what was known last.
    this.#writing = this.#writing.then(() => this.#write(text));
    await this.#writing;
  }

  async #write(text: string): Promise<void> {
    try {
      await this.#deps.keep(text);
    } catch (error) {
      this.#deps.logger.error({ reason: errorData(error).message }, 'cluster: what is known of it could not be kept');
    }
  }
}
