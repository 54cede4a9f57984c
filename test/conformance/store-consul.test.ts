// test-timeout: 150 s
/** The store contract on a real Consul. */
import { after, before, test } from 'node:test';
import { bootClock } from '../../src/base/boot-clock.ts';
import { silentLogger } from '../../src/base/clock.ts';
import type { Store } from '../../src/contracts/store.ts';
import { openConsulStore } from '../../src/store/consul/store.ts';
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { ConsulServer, NO_CONSUL } from '../support/consul.ts';
import { createRandom, seedOfRun } from '../support/random.ts';
import { storeConformance } from './store.ts';
import type { StoreUnderTest } from './store-harness.ts';
import { compareStores } from './store-model.ts';

const server = new ConsulServer(23_820);
before(async () => {
  if (NO_CONSUL === false) await server.start();
});
after(() => server[Symbol.asyncDispose]());

const open = (prefix: string): Promise<Store> =>
  openConsulStore({ endpoints: [server.endpoint], prefix, logger: silentLogger, clock: bootClock });

/** Each test has keys of its own; all of them share the server's revisions. */
let tests = 0;
const prefixes = new Map<Store, string>();

storeConformance({
  name: 'consul',
  skip: NO_CONSUL,
  history: false,
  open: async () => {
    const prefix = `/conformance/${++tests}`;
    const store = await open(prefix);
    prefixes.set(store, prefix);
    // What was not listed has never been kept.
    return { store, history: false, compact: async () => {}, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
  },
  another: ({ store }: StoreUnderTest) => open(prefixes.get(store) ?? ''),
});

const seed = seedOfRun();
test(`consul: a thousand random operations say what the store in memory says (MOOR_TEST_SEED=${seed})`, {
  skip: NO_CONSUL,
}, async () => {
  await using model = createMemoryStore({ history: 10_000 });
  await using store = await open('/model');
  await compareStores({ model, store, history: false }, createRandom(seed), 1_000);
});
