// test-timeout: 120 s
/** Clusters on the store in memory, in virtual time. */
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { Line, VirtualTime } from '../support/virtual-cluster.ts';
import type { ClusterSuite } from './cluster-check.ts';
import { endpointConformance } from './cluster-endpoints.ts';
import { faultConformance } from './cluster-faults.ts';
import { segmentConformance } from './cluster-segments.ts';
import { clusterConformance } from './cluster.ts';

const suite: ClusterSuite = {
  name: 'memory',
  open: async () => {
    const store = createMemoryStore({ history: 10_000 });
    const time = new VirtualTime();
    return {
      clock: time,
      sleep: time.sleep,
      ttlMs: 30_000,
      store,
      line: async () => {
        const line = new Line(store, time);
        return { store: line.store, cut: () => line.cut(), mend: () => line.mend(), kill: async () => line.kill() };
      },
      pass: (ms) => time.pass(ms),
      compact: async () => {
        for (let i = 0; i <= 10_000; i++) await store.commit([{ type: 'put', key: 'filler', value: `${i}` }]);
        await store.commit([{ type: 'delete', key: 'filler' }]);
      },
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    };
  },
};

clusterConformance(suite);
endpointConformance(suite);
segmentConformance(suite);
faultConformance({ ...suite, seeds: [1, 2, 3, 4, 5], steps: 400 });
