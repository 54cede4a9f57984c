/** A world of clusters on a real etcd, in real time. */
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootClock } from '../../src/base/boot-clock.ts';
import { silentLogger, systemClock } from '../../src/base/clock.ts';
import type { Store } from '../../src/contracts/store.ts';
import { realSleep } from '../../src/cluster/time.ts';
import { openEtcdStore } from '../../src/store/etcd/store.ts';
import { EtcdServer, NO_ETCD } from '../support/etcd.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import type { ClusterSuite } from './cluster-check.ts';

let worlds = 0;

/** @param port of a server that starts before the tests of this file and ends after them; those above it are lines to it */
export function etcdSuite(port: number): ClusterSuite {
  const server = new EtcdServer(port);
  before(async () => {
    if (NO_ETCD === false) await server.start();
  });
  after(() => server[Symbol.asyncDispose]());
  let ports = port + 10;
  const open = (at: number, prefix: string): Promise<Store> =>
    openEtcdStore({ endpoints: [{ host: '127.0.0.1', port: at }], prefix, logger: silentLogger, clock: bootClock });
  return {
    name: 'etcd',
    skip: NO_ETCD,
    open: async () => {
      const prefix = `/cluster/${++worlds}`;
      await using opened = new AsyncDisposableStack();
      const store = opened.use(await open(port, prefix));
      const closing = opened.move();
      return {
        clock: systemClock,
        sleep: realSleep,
        ttlMs: 4_000,
        store,
        line: async () => {
          const near = ++ports;
          const proxy = closing.use(await TcpProxy.start(near, port));
          const line = closing.use(await open(near, prefix));
          return {
            store: line,
            cut: () => proxy.cut(),
            mend: () => proxy.restore(),
            kill: async () => {
              proxy.cut();
              await line[Symbol.asyncDispose]();
            },
          };
        },
        pass: (ms) => sleep(ms),
        compact: () => server.compact(),
        [Symbol.asyncDispose]: () => closing[Symbol.asyncDispose](),
      };
    },
  };
}
