/** The HTTP doors on the real engine, with the kernel and the store in memory: API tests without root. */
import { registerMoor } from '../../src/api/moor.ts';
import { createServer } from '../../src/api/server.ts';
import { apiVersionOf } from '../../src/api/version.ts';
import { silentLogger } from '../../src/base/clock.ts';
import type { Engine } from '../../src/contracts/engine.ts';
import { describe } from '../../src/contracts/describe.ts';
import type { Processes } from '../../src/contracts/process.ts';
import type { SystemFacts } from '../../src/docker/route.ts';
import { registerDocker } from '../../src/docker/routes.ts';
import { createBridgeDriver } from '../../src/drivers/bridge/index.ts';
import { createHostDriver } from '../../src/drivers/host/index.ts';
import { createNullDriver } from '../../src/drivers/none/index.ts';
import { createEngine } from '../../src/engine/engine.ts';
import { createLocalIpam } from '../../src/ipam/local/ipam.ts';
import { createFakeKernel, type FakeKernel } from '../../src/kernel/fake/fake.ts';
import { parseFlags } from '../../src/main/daemon/flags.ts';
import { loadConfig } from '../../src/main/daemon/config.ts';
import { engineConfig, instanceOf } from '../../src/main/daemon/engine-config.ts';
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { noContainers } from './absent.ts';
import type { Answer } from './daemon.ts';
import { createFakeResolver } from './resolver.ts';

/** 2026-11-30T12:00:00Z; the clock moves a second at each look, so that nothing is made at the same time as another. */
export const START = Date.UTC(2026, 10, 30, 12);

export interface TestApi extends AsyncDisposable {
  readonly engine: Engine;
  readonly kernel: FakeKernel;
  /** An object body is sent as JSON, a string as it is. */
  readonly call: (method: 'GET' | 'HEAD' | 'POST' | 'DELETE' | 'PUT', url: string, body?: unknown) => Promise<Answer>;
  /** The time now, in milliseconds. */
  readonly now: () => number;
  /** Lets every event stream end. */
  readonly stop: () => void;
  /** Processes that are alive, by pid. */
  readonly alive: Set<number>;
}

export const SYSTEM: SystemFacts = {
  version: '0.0.1',
  apiVersion: '1.51',
  minApiVersion: '1.24',
  nodeVersion: '26.10.0',
  kernelVersion: '6.18.0',
  operatingSystem: 'Debian GNU/Linux 12 (bookworm)',
  osVersion: '12',
  architecture: 'x86_64',
  cpus: 2,
  memory: 1 << 30,
  hostname: 'testhost',
  dataRoot: '/t/data',
  id: '00000000-0000-4000-8000-000000000000',
  debug: false,
  networkDrivers: ['bridge', 'host', 'null'],
  cgroupVersion: 1,
  programs: [{ name: 'runc', version: '1.1.5' }],
  addressPools: [],
};

export async function startApi(...flags: readonly string[]): Promise<TestApi> {
  await using stack = new AsyncDisposableStack();
  const config = loadConfig(
    parseFlags(['--data-root', '/t/data', '--exec-root', '/t/exec', ...flags, '--config-file', '/dev/null']),
  );
  const instance = instanceOf(config);
  let time = START;
  const clock = { now: () => (time += 1000) };
  const alive = new Set<number>();
  const processes: Processes = {
    alive: ({ pid }) => alive.has(pid),
    ended: (_, signal) => new Promise((_done, fail) => signal.addEventListener('abort', () => fail(signal.reason as Error))),
    stop: async ({ pid }) => void alive.delete(pid),
  };
  const kernel = stack.use(createFakeKernel());
  const store = stack.use(createMemoryStore());
  const engine = stack.use(
    await createEngine({
      config: engineConfig(config),
      kernel,
      store,
      ipam: [createLocalIpam({ pools: config.addressPools ?? [], hostId: 'test' })],
      drivers: [createBridgeDriver({ instance }), createHostDriver(), createNullDriver()],
      processes,
      clock,
      logger: silentLogger,
      listDirectory: async () => [],
      resolver: createFakeResolver(),
    }),
  );
  const stopping = new AbortController();
  const app = createServer({ logger: silentLogger, version: SYSTEM.version });
  registerDocker(app, {
    ...noContainers(),
    engine,
    processes,
    clock,
    system: () => SYSTEM,
    apiVersion: apiVersionOf,
    stopping: stopping.signal,
  });
  registerMoor(app, {
    exposure: async () => ({ ports: [], unseen: [] }),
    engine,
    describe,
    daemon: { version: SYSTEM.version, pid: 1234, dataRoot: config.dataRoot, execRoot: config.execRoot, instance: '' },
  });
  await app.ready();
  stack.defer(() => app.close());
  stack.defer(() => stopping.abort());
  const owned = stack.move();
  return {
    engine,
    kernel,
    alive,
    now: () => time,
    stop: () => stopping.abort(),
    call: async (method, url, body) => {
      const payload = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
      const {
        statusCode,
        headers,
        body: text,
      } = await app.inject({
        method,
        url,
        ...(payload === undefined ? {} : { payload, headers: { 'content-type': 'application/json' } }),
      });
      return {
        status: statusCode,
        headers: Object.fromEntries(
          Object.entries(headers).map(([name, value]) => [name, typeof value === 'number' ? String(value) : value]),
        ),
        text,
        json: () => JSON.parse(text) as unknown,
      };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
