// test-timeout: 300 s
/** Endpoints, and networks that are one segment on all hosts, on a real etcd, in real time; and an etcd that fails. */
import { describe } from 'node:test';
import { endpointConformance } from './cluster-endpoints.ts';
import { etcdSuite } from './cluster-etcd-lab.ts';
import { faultConformance } from './cluster-faults.ts';
import { segmentConformance } from './cluster-segments.ts';

const suite = etcdSuite(24_810);

// Each waits for leases most of its time.
describe('etcd', { concurrency: 3 }, () => {
  endpointConformance(suite);
  segmentConformance(suite);
  faultConformance({ ...suite, seeds: [1], steps: 60 });
});
