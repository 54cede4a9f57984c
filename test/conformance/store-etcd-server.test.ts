// test-timeout: 240 s
/** The store on a real etcd that ends, is silent, forgets, or takes leases away. */
import assert from 'node:assert/strict';
import { openEtcdStore } from '../../src/store/etcd/store.ts';
import { EtcdServer, NO_ETCD, startEtcd } from '../support/etcd.ts';
import { leaseFaultChecks, outageChecks, type ServerSuite } from './store-server.ts';

const suite: ServerSuite = {
  name: 'etcd',
  skip: NO_ETCD,
  port: 23_790,
  startServer: startEtcd,
  open: openEtcdStore,
  takeAway: async (server, _store, lease) => {
    assert.ok(server instanceof EtcdServer);
    await server.gateway('lease/revoke', { ID: BigInt(`0x${lease}`).toString() });
  },
};

outageChecks(suite);
leaseFaultChecks(suite);
