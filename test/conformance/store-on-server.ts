/** The store contract on somebody else's server, and a thousand random operations beside the store in memory. */
import { after, before, test } from 'node:test';
import type { Store } from '../../src/contracts/store.ts';
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { createRandom, seedOfRun } from '../support/random.ts';
import { storeConformance } from './store.ts';
import type { StoreUnderTest } from './store-harness.ts';
import { compareStores } from './store-model.ts';

export interface OnServer {
  readonly name: string;
  /** Why there is no server; false when there is. */
  readonly skip: string | false;
  readonly server: AsyncDisposable & { readonly start: () => Promise<void> };
  /** @param prefix of all its keys */
  readonly open: (prefix: string) => Promise<Store>;
  /** What makes the server forget its history; null: it keeps none. */
  readonly compact: (() => Promise<void>) | null;
  /** One lease at a time: what the random operations may ask for. */
  readonly oneLease?: boolean;
}

export function storeOnServer({ name, skip, server, open, compact, oneLease = false }: OnServer): void {
  before(async () => {
    if (skip === false) await server.start();
  });
  after(() => server[Symbol.asyncDispose]());

  /** Each test has keys of its own; all of them share the server's revisions. */
  let tests = 0;
  const prefixes = new Map<Store, string>();
  const kind = compact === null ? { history: false as const } : {};

  storeConformance({
    name,
    skip,
    ...kind,
    open: async () => {
      const prefix = `/conformance/${++tests}`;
      const store = await open(prefix);
      prefixes.set(store, prefix);
      // Without a history, what was not listed has never been kept.
      const forget = compact ?? (async (): Promise<void> => {});
      return { store, ...kind, compact: forget, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
    },
    another: ({ store }: StoreUnderTest) => open(prefixes.get(store) ?? ''),
  });

  const seed = seedOfRun();
  test(`${name}: a thousand random operations say what the store in memory says (MOOR_TEST_SEED=${seed})`, {
    skip,
  }, async () => {
    await using model = createMemoryStore({ history: 10_000 });
    await using store = await open('/model');
    await compareStores({ model, store, ...kind, ...(oneLease ? { oneLease: true as const } : {}) }, createRandom(seed), 1_000);
  });
}
