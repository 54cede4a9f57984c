// test-timeout: 150 s
/** The store contract on a real ZooKeeper. */
import { after, before, test } from 'node:test';
import { bootClock } from '../../src/base/boot-clock.ts';
import { silentLogger } from '../../src/base/clock.ts';
import type { Store } from '../../src/contracts/store.ts';
import { openZookeeperStore } from '../../src/store/zookeeper/store.ts';
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { ZookeeperServer, NO_ZOOKEEPER } from '../support/zookeeper.ts';
import { createRandom, seedOfRun } from '../support/random.ts';
import { storeConformance } from './store.ts';
import type { StoreUnderTest } from './store-harness.ts';
import { compareStores } from './store-model.ts';

const server = new ZookeeperServer(23_850);
before(async () => {
  if (NO_ZOOKEEPER === false) await server.start();
});
after(() => server[Symbol.asyncDispose]());

const open = (prefix: string): Promise<Store> =>
  openZookeeperStore({ endpoints: [server.endpoint], prefix, logger: silentLogger, clock: bootClock });

/** Each test has keys of its own; all of them share the server's revisions. */
let tests = 0;
const prefixes = new Map<Store, string>();

storeConformance({
  name: 'zookeeper',
  skip: NO_ZOOKEEPER,
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
test(`zookeeper: a thousand random operations say what the store in memory says (MOOR_TEST_SEED=${seed})`, {
  skip: NO_ZOOKEEPER,
}, async () => {
  await using model = createMemoryStore({ history: 10_000 });
  await using store = await open('/model');
  await compareStores({ model, store, history: false, oneLease: true }, createRandom(seed), 1_000);
});
