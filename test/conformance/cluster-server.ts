/** The tests of clusters on a store whose server keeps no history, each node over a line of its own. */
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootClock } from '../../src/base/boot-clock.ts';
import { type Logger, type SteadyClock, silentLogger, systemClock } from '../../src/base/clock.ts';
import { realSleep } from '../../src/cluster/time.ts';
import type { Store } from '../../src/contracts/store.ts';
import type { Endpoint } from '../../src/store/address.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { clusterConformance } from './cluster.ts';
import type { ClusterSuite } from './cluster-check.ts';
import { endpointConformance } from './cluster-endpoints.ts';
import { segmentConformance } from './cluster-segments.ts';

export interface ClusterServer {
  readonly name: string;
  readonly skip: string | false;
  readonly without?: Readonly<Record<string, string>>;
  readonly port: number;
  readonly server: AsyncDisposable & { readonly start: () => Promise<void> };
  readonly open: (options: {
    readonly endpoints: readonly Endpoint[];
    readonly prefix: string;
    readonly logger: Logger;
    readonly clock: SteadyClock;
  }) => Promise<Store>;
}

/** Milliseconds. Of a node, in these tests. */
const TTL_MS = 3_000;

/** Checks at a time: each waits for leases most of its time. */
const AT_ONCE = 3;

export function clusterOnServer({ name, skip, without, port, server, open }: ClusterServer): void {
  before(async () => {
    if (skip === false) await server.start();
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    // Node 26.10 may turn for ever in Environment::CleanupHandles, at the very end, after thousands of sockets that were reset.
    process.once('exit', () => process.exit());
  });
  let worlds = 0;
  let lines = 0;
  const openAt = (at: number, prefix: string): Promise<Store> =>
    open({ endpoints: [{ host: '127.0.0.1', port: at }], prefix, logger: silentLogger, clock: bootClock });
  const suite: ClusterSuite = {
    name,
    skip,
    ...(without ? { without } : {}),
    open: async () => {
      const prefix = `/cluster/${++worlds}`;
      await using opened = new AsyncDisposableStack();
      const store = opened.use(await openAt(port, prefix));
      const closing = opened.move();
      return {
        clock: systemClock,
        sleep: realSleep,
        ttlMs: TTL_MS,
        store,
        line: async () => {
          // Above those of servers, of which one has three.
          const own = port + 1_000 + ++lines;
          const proxy = closing.use(await TcpProxy.start(own, port));
          const line = closing.use(await openAt(own, prefix));
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
        // There is no history that could be forgotten.
        compact: async () => {},
        [Symbol.asyncDispose]: () => closing[Symbol.asyncDispose](),
      };
    },
  };
  describe(name, { concurrency: AT_ONCE }, () => {
    clusterConformance(suite);
    endpointConformance(suite);
    segmentConformance(suite);
  });
}
