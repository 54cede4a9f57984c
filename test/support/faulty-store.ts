/**
 * A store that misbehaves as stores over a network do: answers get lost after the work was done, or the work with them; reads fail; what was
 * listed is a little old; several values of one key come as the last of them; leases run out although somebody renews them.
 */
import { MoorError } from '../../src/base/errors.ts';
import type { Lease, Listing, Store, StoreEvent } from '../../src/contracts/store.ts';

export interface Faults {
  /** 0 to 1. */
  readonly random: () => number;
  /** Share of calls that fail; of commits half after they were done. */
  rate: number;
}

const failure = (what: string): MoorError => new MoorError('unavailable', `${what}: no answer`);

export function faultyStore(inner: Store, faults: Faults): Store {
  const hit = (): boolean => faults.random() < faults.rate;
  const listings = new Map<string, Listing>();
  return {
    get: async (key) => {
      if (hit()) throw failure('get');
      return await inner.get(key);
    },
    list: async (prefix) => {
      if (hit()) throw failure('list');
      // What others would see who asked a moment ago: whoever watches from there misses nothing.
      const before = listings.get(prefix);
      const now = await inner.list(prefix);
      listings.set(prefix, now);
      return before !== undefined && !prefix.startsWith('pools') && !prefix.startsWith('vnis') && hit() ? before : now;
    },
    commit: async (writes) => {
      if (!hit()) return await inner.commit(writes);
      if (faults.random() < 0.5) await inner.commit(writes);
      throw failure('commit');
    },
    watch: (prefix, from, signal) => watch(inner.watch(prefix, from, signal), hit),
    lease: async (ttlMs): Promise<Lease> => {
      if (hit()) throw failure('lease');
      return await inner.lease(ttlMs);
    },
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}

/** Events of one message, of which all but the last of a key are left out; and at times what came before comes again, or the watch breaks. */
async function* watch(inner: AsyncIterable<readonly StoreEvent[]>, hit: () => boolean): AsyncGenerator<readonly StoreEvent[]> {
  let before: readonly StoreEvent[] = [];
  for await (const events of inner) {
    const last = new Map(events.map((event) => [event.key, event]));
    yield [...last.values()];
    if (hit()) yield before;
    before = events;
    if (hit()) throw failure('watch');
  }
}
