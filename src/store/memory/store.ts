/** A store that forgets: for tests, and for a daemon that must leave nothing behind. */
import { MoorError } from '../../base/errors.ts';
import type { Entry, Lease, Listing, Revision, Store, StoreEvent, Write } from '../../contracts/store.ts';
import { Feed, HISTORY_CHANGES } from '../feed.ts';
import { Leases } from '../leases.ts';
import { checkKey, checkPrefix, checkWrites, unmet } from '../writes.ts';

export interface MemoryStoreOptions {
  /** Changes kept for `watch`. */
  readonly history?: number;
}

interface Held {
  readonly entry: Entry;
  readonly lease: string | null;
}

export function createMemoryStore(options: MemoryStoreOptions = {}): Store {
  return new MemoryStore(options.history ?? HISTORY_CHANGES);
}

class MemoryStore implements Store {
  readonly #entries = new Map<string, Held>();
  readonly #feed: Feed;
  readonly #leases = new Leases((id) => this.#dropLease(id));
  #closed = false;

  constructor(history: number) {
    this.#feed = new Feed(0, history);
  }

  readonly get = async (key: string): Promise<Entry | null> => {
    this.#assertOpen();
    checkKey(key);
    return this.#entries.get(key)?.entry ?? null;
  };

  readonly list = async (prefix: string): Promise<Listing> => {
    this.#assertOpen();
    checkPrefix(prefix);
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix)).sort();
    const entries = keys.flatMap((key) => this.#entries.get(key)?.entry ?? []);
    return { entries, revision: this.#feed.latest };
  };

  readonly commit = async (writes: readonly Write[]): Promise<Revision> => {
    this.#assertOpen();
    checkWrites(writes);
    this.#leases.check(writes);
    for (const write of writes) {
      const error = unmet(write.key, write.expect, this.#entries.get(write.key)?.entry.revision ?? null);
      if (error) throw error;
    }
    return this.#apply(writes);
  };

  readonly watch = (prefix: string, from: Revision, signal: AbortSignal): AsyncIterable<readonly StoreEvent[]> => {
    checkPrefix(prefix);
    return this.#feed.watch(prefix, from, signal);
  };

  readonly lease = async (ttlMs: number): Promise<Lease> => {
    this.#assertOpen();
    return this.#leases.grant(ttlMs);
  };

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#leases.close();
    this.#feed.close();
  }

  #apply(writes: readonly Write[]): Revision {
    const revision = this.#feed.latest + 1;
    const events: StoreEvent[] = [];
    for (const write of writes) {
      const { key } = write;
      if (write.type === 'put') {
        const leased = write.lease ? ({ leased: true } as const) : {};
        this.#entries.set(key, { entry: { key, value: write.value, revision, ...leased }, lease: write.lease?.id ?? null });
        events.push({ key, value: write.value, revision });
      } else if (this.#entries.delete(key)) events.push({ key, value: null, revision });
    }
    if (events.length === 0) return this.#feed.latest;
    this.#feed.append(revision, events);
    return revision;
  }

  async #dropLease(id: string): Promise<void> {
    const keys = [...this.#entries].filter(([, held]) => held.lease === id).map(([key]) => key);
    this.#apply(keys.map((key) => ({ type: 'delete', key })));
  }

  #assertOpen(): void {
    if (this.#closed) throw new MoorError('unavailable', 'the store is closed');
  }
}
