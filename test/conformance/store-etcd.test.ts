// test-timeout: 120 s
/** The store contract on a real etcd. */
import { after, before, test } from 'node:test';
import { bootClock } from '../../src/base/boot-clock.ts';
import { silentLogger } from '../../src/base/clock.ts';
import type { Store } from '../../src/contracts/store.ts';
import { openEtcdStore } from '../../src/store/etcd/store.ts';
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { EtcdServer, NO_ETCD } from '../support/etcd.ts';
import { createRandom, seedOfRun } from '../support/random.ts';
import { storeConformance } from './store.ts';
import type { StoreUnderTest } from './store-harness.ts';
import { compareStores } from './store-model.ts';

const server = new EtcdServer(23_790);
before(async () => {
  if (NO_ETCD === false) await server.start();
});
after(() => server[Symbol.asyncDispose]());

const open = (prefix: string): Promise<Store> =>
  openEtcdStore({ endpoints: [server.endpoint], prefix, logger: silentLogger, clock: bootClock });

/** Each test has keys of its own; all of them share the server's revisions. */
let tests = 0;
const prefixes = new Map<StoreUnderTest, string>();

storeConformance({
  name: 'etcd',
  skip: NO_ETCD,
  open: async () => {
    const prefix = `/conformance/${++tests}`;
    const store = await open(prefix);
    const under = { store, compact: () => server.compact(), [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
    prefixes.set(under, prefix);
    return under;
  },
  another: (under) => open(prefixes.get(under) ?? ''),
});

const seed = seedOfRun();
test(`etcd: a thousand random operations say what the store in memory says (MOOR_TEST_SEED=${seed})`, {
  skip: NO_ETCD,
}, async () => {
  await using model = createMemoryStore({ history: 10_000 });
  await using store = await open('/model');
  await compareStores({ model, store }, createRandom(seed), 1_000);
});
