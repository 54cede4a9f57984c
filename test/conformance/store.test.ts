/** The store contract on the stores that need no server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Store } from '../../src/contracts/store.ts';
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { openSqliteStore } from '../../src/store/sqlite/store.ts';
import { storeConformance, type StoreUnderTest } from './store.ts';

/** Small enough to overflow quickly, large enough for the other tests of the suite. */
const HISTORY = 512;

function underTest(store: Store, clean: () => Promise<void>): StoreUnderTest {
  return {
    store,
    compact: async () => {
      for (let i = 0; i <= HISTORY; i++) await store.commit([{ type: 'put', key: 'filler', value: String(i) }]);
    },
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await clean();
    },
  };
}

storeConformance({ name: 'memory', open: async () => underTest(createMemoryStore({ history: HISTORY }), async () => {}) });

storeConformance({
  name: 'sqlite',
  open: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'moor-store-'));
    const store = await openSqliteStore({ file: join(folder, 'state.db'), history: HISTORY });
    return underTest(store, () => rm(folder, { recursive: true }));
  },
});
