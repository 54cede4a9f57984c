// test-timeout: 300 s
/** Clusters on a real etcd, in real time. */
import { etcdSuite } from './cluster-etcd-lab.ts';
import { clusterConformance } from './cluster.ts';

clusterConformance(etcdSuite(23_810));
