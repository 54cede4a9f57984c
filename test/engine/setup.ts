/** An engine on the fake kernel, the memory store and the real drivers and allocator. */
import assert from 'node:assert/strict';
import type { LogFields, Logger } from '../../src/base/clock.ts';
import { addressOf } from '../../src/base/ip.ts';
import type { Engine, EngineEvent } from '../../src/contracts/engine.ts';
import type { IpamDriver } from '../../src/contracts/ipam.ts';
import type { Kernel } from '../../src/contracts/kernel.ts';
import type { Processes } from '../../src/contracts/process.ts';
import type { Store } from '../../src/contracts/store.ts';
import { createBridgeDriver } from '../../src/drivers/bridge/index.ts';
import { createHostDriver } from '../../src/drivers/host/index.ts';
import { createNullDriver } from '../../src/drivers/none/index.ts';
import { createOverlayDriver } from '../../src/drivers/overlay/index.ts';
import { createRoutedDriver } from '../../src/drivers/routed/index.ts';
import { createEngine, type EngineConfig, type EngineDeps } from '../../src/engine/engine.ts';
import { createLocalIpam } from '../../src/ipam/local/ipam.ts';
import { createFakeKernel, type FakeKernel } from '../../src/kernel/fake/fake.ts';
import type { Instance } from '../../src/model/instance.ts';
import type { Underlay } from '../../src/model/node.ts';
import type { ProcessRef } from '../../src/model/sandbox.ts';
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { UNDERLAY } from '../support/fake-cluster.ts';
import { createFakeResolver, type FakeResolver } from '../support/resolver.ts';

export const INSTANCE: Instance = { id: '', dataRoot: '/data', execRoot: '/exec' };

export const CONFIG: EngineConfig = {
  instance: INSTANCE,
  defaultBridge: { name: 'moor0', options: {}, ipv6: false },
  defaultNetworkOptions: {},
  times: { settle: 1, sweep: 3_600_000 },
};

/** Processes that a test starts and ends. */
export class FakeProcesses implements Processes {
  readonly running = new Map<number, () => void>();
  readonly #ends = new Map<number, Promise<void>>();

  start(pid: number): ProcessRef {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.running.set(pid, resolve);
    this.#ends.set(pid, promise);
    return { pid, startTime: String(pid), command: ['sleep', 'inf'] };
  }

  end(pid: number): void {
    this.running.get(pid)?.();
    this.running.delete(pid);
  }

  readonly alive = ({ pid }: ProcessRef): boolean => this.running.has(pid);
  readonly ended = async ({ pid }: ProcessRef, _signal: AbortSignal): Promise<void> => this.#ends.get(pid);
  readonly stop = async ({ pid }: ProcessRef): Promise<void> => this.end(pid);
}

/** Keeps what was logged. */
export class MemoryLogger implements Logger {
  readonly lines: { readonly level: string; readonly message: string; readonly fields: LogFields }[] = [];
  readonly #at =
    (level: string) =>
    (fields: LogFields, message: string): void =>
      void this.lines.push({ level, message, fields });
  readonly debug = this.#at('debug');
  readonly info = this.#at('info');
  readonly warn = this.#at('warn');
  readonly error = this.#at('error');

  messages(level: string): string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.message);
  }
}

/** What outlives a daemon. */
export interface World {
  readonly kernel: FakeKernel;
  readonly store: Store;
  readonly processes: FakeProcesses;
}

export interface Bench extends World, AsyncDisposable {
  readonly engine: Engine;
  readonly ipam: IpamDriver;
  readonly resolver: FakeResolver;
  readonly logger: MemoryLogger;
  readonly events: EngineEvent[];
}

export interface StartOptions {
  readonly world?: World;
  readonly config?: Partial<EngineConfig>;
  /** Puts something between the engine and the kernel or the store. */
  readonly between?: { readonly kernel?: (kernel: Kernel) => Kernel; readonly store?: (store: Store) => Store };
  readonly now?: () => number;
  /** Whether the sweep finds files, true by default. */
  readonly lists?: boolean;
  readonly resolver?: FakeResolver;
  readonly watchResolvConf?: EngineDeps['watchResolvConf'];
  /** The host is in this one. */
  readonly cluster?: EngineDeps['cluster'];
  readonly tunnels?: EngineDeps['tunnels'];
  readonly paths?: EngineDeps['paths'];
  /** Where it meets the others. Without a cluster: where it did when it was in one. */
  readonly underlay?: Partial<Underlay>;
}

export const newWorld = (): World => ({
  kernel: createFakeKernel(),
  store: createMemoryStore(),
  processes: new FakeProcesses(),
});

function namesIn(kernel: FakeKernel, path: string): string[] {
  const below = [...kernel.files.keys()].filter((file) => file.startsWith(`${path}/`));
  return [...new Set(below.map((file) => file.slice(path.length + 1).split('/')[0] ?? ''))];
}

export async function start({
  world = newWorld(),
  config,
  between,
  now,
  lists = true,
  resolver = createFakeResolver(),
  watchResolvConf,
  cluster,
  tunnels,
  paths,
  underlay,
}: StartOptions = {}): Promise<Bench> {
  const bridge = createBridgeDriver({ instance: INSTANCE });
  const ipam = createLocalIpam({ pools: [], hostId: 'test' });
  const logger = new MemoryLogger();
  const events: EngineEvent[] = [];
  let last = Date.UTC(2026, 0, 1);
  const engine = await createEngine({
    config: { ...CONFIG, ...config },
    kernel: between?.kernel?.(world.kernel) ?? world.kernel,
    store: between?.store?.(world.store) ?? world.store,
    ipam: [ipam],
    drivers: [
      bridge,
      createRoutedDriver({ instance: INSTANCE, local: bridge, flannelFolder: '/run/flannel' }),
      createOverlayDriver({ instance: INSTANCE }),
      createHostDriver(),
      createNullDriver(),
    ],
    ...(cluster === undefined ? {} : { cluster }),
    ...((cluster ?? underlay) === undefined ? {} : { underlay: async () => ({ ...UNDERLAY, ...underlay }) }),
    ...(paths === undefined ? {} : { paths }),
    ...(tunnels === undefined ? {} : { tunnels }),
    processes: world.processes,
    clock: { now: now ?? (() => ++last) },
    logger,
    listDirectory: async (path) => (lists ? namesIn(world.kernel, path) : []),
    resolver,
    ...(watchResolvConf === undefined ? {} : { watchResolvConf }),
  });
  const unsubscribe = engine.subscribe((event) => events.push(event), 0);
  return {
    ...world,
    engine,
    ipam,
    resolver,
    logger,
    events,
    async [Symbol.asyncDispose]() {
      unsubscribe();
      await engine[Symbol.asyncDispose]();
    },
  };
}

/** Everything in the fake kernel that a plan can change, in a form that `deepEqual` compares. */
export function kernelState(kernel: FakeKernel): unknown {
  const sorted = <T>(list: readonly T[]): T[] => list.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  return {
    spaces: [...kernel.spaces.byPath.keys()].toSorted().map((path) => {
      const { links, addresses, routes, rules, neighbours, fdb } = kernel.spaces.get(path).dump(path);
      return {
        path,
        // Indexes and made-up MAC addresses differ after a link was removed and added again.
        links: sorted(links.map(({ index: _, ...link }) => link)),
        addresses: sorted(addresses),
        routes: sorted(routes),
        rules: sorted(rules),
        neighbours: sorted(neighbours),
        fdb: sorted(fdb),
        tables: sorted([...kernel.spaces.get(path).tables.values()]),
      };
    }),
    tables: [...kernel.tables.values()].map((table) => ({
      ...table,
      sets: Object.fromEntries(Object.entries(table.sets).map(([name, elements]) => [name, sorted(Object.entries(elements))])),
    })),
    files: sorted([...kernel.files]),
  };
}

/** The name service knows what the engine lists, no more and no less. */
export function assertNames({ engine, resolver, kernel }: Bench): void {
  const predefined = new Set(engine.networks.list().flatMap((network) => (network.predefined ? [network.id] : [])));
  const all = engine.sandboxes.list().map((sandbox) => ({
    ...sandbox,
    named: sandbox.endpoints.filter(({ networkId }) => !predefined.has(networkId)),
  }));
  const clients = all.flatMap(({ id, named }) =>
    named.length === 0 ? [] : [[id, named.map(({ networkId }) => networkId).toSorted()] as const],
  );
  const told = [...resolver.clients.values()].map(
    ({ sandbox, networks }) => [sandbox, networks.map(({ id }) => id).toSorted()] as const,
  );
  assert.deepEqual(new Map(told), new Map(clients));
  const records = all.flatMap(({ name, named }) =>
    named.map(({ id, ipv4, ipv6 }) => [id, name, ...[ipv4, ipv6].flatMap((one) => (one === null ? [] : [addressOf(one)]))]),
  );
  const known = [...resolver.records.values()].map(({ endpoint, names, addresses }) => [endpoint, names[0], ...addresses]);
  assert.deepEqual(new Set(known), new Set(records));
  for (const { name, netns, named } of all) {
    if (netns.type !== 'host') assert.equal(kernel.spaces.get(netns.path).tables.size, named.length === 0 ? 0 : 1, name);
  }
}

/** Rows of the store without the journal's spent rows, which the next commit deletes. */
export async function rows(store: Store): Promise<Record<string, unknown>> {
  const { entries } = await store.list('');
  // Whose turn it is among the addresses is noted with a removal, and stays true when that fails.
  const notes = ['journal/', 'turn/'];
  return Object.fromEntries(
    entries
      .filter(({ key }) => notes.every((prefix) => !key.startsWith(prefix)))
      .map(({ key, value }) => [key, JSON.parse(value) as unknown]),
  );
}

export const usage = (ipam: IpamDriver): { subnet: string; owner: string; used: bigint }[] =>
  ipam
    .usage()
    .map(({ subnet, owner, used }) => ({ subnet, owner, used }))
    .toSorted((a, b) => (a.subnet < b.subnet ? -1 : 1));

/** Waits for what happens in the background. @throws after two seconds. */
export async function eventually(check: () => void | Promise<void>): Promise<void> {
  const until = performance.now() + 2000;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}
