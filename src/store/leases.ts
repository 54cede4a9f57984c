/**
 * Leases of a store that lives in this process: the process renews them by being alive, so a lease ends when its holder
 * closes it or the store closes. After a crash the store removes the entries when it is next opened.
 */
import { invalid, MoorError } from '../base/errors.ts';
import type { Lease, Write } from '../contracts/store.ts';

export class Leases {
  readonly #live = new Map<string, AbortController>();
  readonly #drop: (id: string) => Promise<void>;

  /** @param drop removes the entries that were put under the lease. */
  constructor(drop: (id: string) => Promise<void>) {
    this.#drop = drop;
  }

  /** @throws invalid unless the time is a positive number of milliseconds. */
  grant(ttlMs: number): Lease {
    if (!(Number.isFinite(ttlMs) && ttlMs > 0)) throw invalid(`invalid lease: a time to live of ${ttlMs} ms`);
    const id = crypto.randomUUID();
    const controller = new AbortController();
    this.#live.set(id, controller);
    return { id, lost: controller.signal, [Symbol.asyncDispose]: () => this.#end(id) };
  }

  /** @throws unavailable when a write names a lease that is not alive. */
  check(writes: readonly Write[]): void {
    for (const write of writes) {
      if (write.type === 'put' && write.lease && !this.#live.has(write.lease.id)) {
        throw new MoorError('unavailable', `cannot write ${write.key}: its lease is lost`);
      }
    }
  }

  /** The store is going: every lease is lost. */
  close(): void {
    for (const controller of this.#live.values()) controller.abort(new MoorError('unavailable', 'the store is closed'));
    this.#live.clear();
  }

  async #end(id: string): Promise<void> {
    const controller = this.#live.get(id);
    if (!controller) return;
    this.#live.delete(id);
    controller.abort(new MoorError('cancelled', 'the lease was closed'));
    await this.#drop(id);
  }
}
