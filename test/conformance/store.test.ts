/** The store contract on the stores that need no server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Store } from '../../src/contracts/store.ts';
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { openSqliteStore } from '../../src/store/sqlite/store.ts';
import { createRandom, seedOfRun } from '../support/random.ts';
import { storeConformance } from './store.ts';
import type { StoreUnderTest } from './store-harness.ts';
import { compareStores } from './store-model.ts';

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

const seed = seedOfRun();
test(`sqlite: a thousand random operations say what the store in memory says (MOOR_TEST_SEED=${seed})`, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'moor-store-'));
  try {
    await using model = createMemoryStore({ history: 10_000 });
    await using store = await openSqliteStore({ file: join(folder, 'state.db'), history: 10_000 });
    await compareStores({ model, store }, createRandom(seed), 1_000);
  } finally {
    await rm(folder, { recursive: true });
  }
});
