// test-timeout: 120 s
/** The store contract on a real etcd. */
import { bootClock } from '../../src/base/boot-clock.ts';
import { silentLogger } from '../../src/base/clock.ts';
import { openEtcdStore } from '../../src/store/etcd/store.ts';
import { EtcdServer, NO_ETCD } from '../support/etcd.ts';
import { storeOnServer } from './store-on-server.ts';

const server = new EtcdServer(23_790);

storeOnServer({
  name: 'etcd',
  skip: NO_ETCD,
  server,
  open: (prefix) => openEtcdStore({ endpoints: [server.endpoint], prefix, logger: silentLogger, clock: bootClock }),
  compact: () => server.compact(),
});
