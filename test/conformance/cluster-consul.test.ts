// test-timeout: 300 s
/** Clusters on a real Consul, in real time. */
import { ConsulServer, NO_CONSUL } from '../support/consul.ts';
import { openConsulStore } from '../../src/store/consul/store.ts';
import { clusterOnServer } from './cluster-server.ts';

const PORT = 23_840;

clusterOnServer({
  name: 'consul',
  skip: NO_CONSUL,
  port: PORT,
  // Sessions of less than 10 s, or a test of clusters would take minutes. They end up to twice as late.
  server: new ConsulServer(PORT, { config: { session_ttl_min: '1s' } }),
  without: {
    'a lease that runs out while others have only just come back is no death':
      'a lease of Consul ends up to twice as late, when the others have been back for long',
  },
  open: openConsulStore,
});
