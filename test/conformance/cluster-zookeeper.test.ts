// test-timeout: 240 s
/** Clusters on a real ZooKeeper, in real time. */
import { NO_ZOOKEEPER, ZookeeperServer } from '../support/zookeeper.ts';
import { openZookeeperStore } from '../../src/store/zookeeper/store.ts';
import { clusterOnServer } from './cluster-server.ts';

const PORT = 23_870;

clusterOnServer({
  name: 'zookeeper',
  skip: NO_ZOOKEEPER,
  port: PORT,
  server: new ZookeeperServer(PORT),
  open: openZookeeperStore,
});
