// test-timeout: 150 s
/** The store contract on a real ZooKeeper. */
import { bootClock } from '../../src/base/boot-clock.ts';
import { silentLogger } from '../../src/base/clock.ts';
import { openZookeeperStore } from '../../src/store/zookeeper/store.ts';
import { ZookeeperServer, NO_ZOOKEEPER } from '../support/zookeeper.ts';
import { storeOnServer } from './store-on-server.ts';

const server = new ZookeeperServer(23_850);

storeOnServer({
  name: 'zookeeper',
  skip: NO_ZOOKEEPER,
  server,
  open: (prefix) => openZookeeperStore({ endpoints: [server.endpoint], prefix, logger: silentLogger, clock: bootClock }),
  compact: null,
  oneLease: true,
});
