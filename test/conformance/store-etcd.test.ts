// test-timeout: 120 s
/** The store contract on a real etcd. */
import { after, before } from 'node:test';
import { bootClock, silentLogger } from '../../src/base/clock.ts';
import type { Store } from '../../src/contracts/store.ts';
import { openEtcdStore } from '../../src/store/etcd/store.ts';
import { EtcdServer, NO_ETCD } from '../support/etcd.ts';
import { storeConformance } from './store.ts';

const server = new EtcdServer(23_790);
before(async () => {
  if (NO_ETCD === false) await server.start();
});
after(() => server[Symbol.asyncDispose]());

const open = (prefix: string): Promise<Store> =>
  openEtcdStore({ endpoints: [server.endpoint], prefix, logger: silentLogger, clock: bootClock });

/** Each test has keys of its own; all of them share the server's revisions. */
let tests = 0;

storeConformance({
  name: 'etcd',
  skip: NO_ETCD,
  open: async () => {
    const prefix = `/conformance/${++tests}`;
    const store = await open(prefix);
    return {
      store,
      compact: () => server.compact(),
      another: () => open(prefix),
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    };
  },
});
