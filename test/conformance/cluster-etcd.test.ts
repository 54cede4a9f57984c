// test-timeout: 300 s
/** Clusters on a real etcd, in real time. */
import { etcdSuite } from './cluster-etcd-lab.ts';
import { endpointConformance } from './cluster-endpoints.ts';
import { clusterConformance } from './cluster.ts';

const suite = etcdSuite(23_810);
clusterConformance(suite);
endpointConformance(suite);
