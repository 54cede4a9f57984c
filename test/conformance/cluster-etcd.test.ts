// test-timeout: 300 s
/** Clusters on a real etcd, in real time. */
import { describe } from 'node:test';
import { etcdSuite } from './cluster-etcd-lab.ts';
import { endpointConformance } from './cluster-endpoints.ts';
import { clusterConformance } from './cluster.ts';

const suite = etcdSuite(23_810);

// Each waits for leases most of its time.
describe('etcd', { concurrency: 4 }, () => {
  clusterConformance(suite);
  endpointConformance(suite);
});
