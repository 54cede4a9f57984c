/** Whether the store is reached, and for how long after an outage nobody is taken for gone. */
import type { Logger } from '../base/clock.ts';
import type { Sleep } from './time.ts';

export interface ReachabilityDeps {
  /** For people. */
  readonly url: string;
  readonly logger: Logger;
  readonly sleep: Sleep;
  /** Milliseconds: others may come back as much later. */
  readonly settleMs: number;
  readonly onChange: (reachable: boolean) => void;
  /** An outage is over for everybody: who is not back is gone. */
  readonly onSettled: () => void;
}

export class Reachability {
  readonly #deps: ReachabilityDeps;
  readonly #closed = new AbortController();
  #reachable = true;
  #error = '';
  #settling = false;
  /** Tells the last outage from those before. */
  #outages = 0;

  constructor(deps: ReachabilityDeps) {
    this.#deps = deps;
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  /** Why it is not reached; '' when it is. */
  get error(): string {
    return this.#error;
  }

  /** What is missing may come back. */
  get holding(): boolean {
    return !this.#reachable || this.#settling;
  }

  failed(error: string): void {
    this.#error = error;
    if (!this.#reachable) return;
    const { url, logger, onChange } = this.#deps;
    this.#reachable = false;
    this.#outages++;
    logger.warn({ store: url, reason: error }, 'cluster: the store is not reached, everything stays as it is');
    onChange(false);
  }

  answered(): void {
    this.#error = '';
    if (this.#reachable) return;
    const { url, logger, onChange } = this.#deps;
    this.#reachable = true;
    this.#settling = true;
    logger.info({ store: url }, 'cluster: the store is reached again');
    void this.#settle(this.#outages);
    onChange(true);
  }

  close(): void {
    this.#closed.abort();
  }

  async #settle(outage: number): Promise<void> {
    const { sleep, settleMs, onSettled } = this.#deps;
    await sleep(settleMs, this.#closed.signal);
    if (this.#closed.signal.aborted || this.#outages !== outage) return;
    this.#settling = false;
    onSettled();
  }
}
