// test-timeout: 240 s
/** The store on a real Consul that ends, is silent, forgets, or takes leases away. */
import assert from 'node:assert/strict';
import { openConsulStore } from '../../src/store/consul/store.ts';
import { NO_CONSUL, startConsul } from '../support/consul.ts';
import { leaseFaultChecks, outageChecks, type ServerSuite } from './store-server.ts';

const PORT = 23_900;

const suite: ServerSuite = {
  name: 'Consul',
  skip: NO_CONSUL,
  port: PORT,
  startServer: (port) => startConsul(port, { config: { session_ttl_min: '1s' } }),
  open: openConsulStore,
  takeAway: async ({ endpoint }, _store, lease) => {
    const answer = await fetch(`http://127.0.0.1:${endpoint.port}/v1/session/destroy/${lease}`, { method: 'PUT' });
    assert.equal(await answer.text(), 'true');
  },
};

outageChecks(suite);
leaseFaultChecks(suite);
