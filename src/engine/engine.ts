/** The engine: what the doors call. Composes the parts, and runs every operation under the world lock. */
import { MoorError } from '../base/errors.ts';
import { KeyedLock } from '../base/keyed-lock.ts';
import type { Engine, EngineStatus } from '../contracts/engine.ts';
import type { Feature, KernelEvent } from '../contracts/kernel.ts';
import { connect, disconnect } from './connect.ts';
import type { Context, EngineDeps } from './context.ts';
import { EventBus } from './events.ts';
import { Executor } from './executor.ts';
import { FactsCache } from './facts.ts';
import { fileTargets } from './files.ts';
import { SharedLock } from './locks.ts';
import { pruneNetworks } from './networks.ts';
import { tellCluster } from './own-endpoints.ts';
import { loadPeers } from './peers.ts';
import { PortKeeper } from './port-keeper.ts';
import { PortTable } from './port-table.ts';
import { publishedPorts, publishPorts, unpublishPorts } from './ports.ts';
import { loadRemotes, peersOf, remotesOf } from './remotes.ts';
import { CLUSTER_KEY, deleteKey } from './records.ts';
import { planRepairs } from './drift.ts';
import { Reconciler } from './reconcile.ts';
import { Registry } from './registry.ts';
import { resetAll } from './reset.ts';
import { load, settle } from './restore.ts';
import { checkSandbox, createSandbox, removeSandbox, renameSandbox, reserveName, setProcess } from './sandboxes.ts';
import { Spanning } from './spanning.ts';
import { Supervisor } from './supervise.ts';

export type { DefaultBridge, EngineConfig, EngineDeps } from './context.ts';

/**
 * Restores what is stored and makes the kernel match it.
 * @returns when that is done. The kernel and the store stay the caller's to close, after the engine.
 * @throws when the store or the kernel cannot be used at all; damaged rows and networks are reported, and do not stop the start.
 */
export async function createEngine(deps: EngineDeps): Promise<Engine> {
  const background = new Set<Promise<void>>();
  /** For work that no operation waits for. */
  const later = (what: string, work: Promise<unknown>): void => {
    const settled = work.then(
      () => {},
      (error: unknown) => deps.logger.error({ err: error }, `could not ${what}`),
    );
    background.add(settled);
    void settled.then(() => background.delete(settled));
  };
  const registry = new Registry();
  const ctx: Context = {
    ...deps,
    registry,
    portTable: new PortTable(),
    segments: new Set(),
    remotes: new Map(),
    executor: new Executor(deps),
    // Without a cluster as well: what was there stays until somebody says otherwise.
    peers: await loadPeers(deps.store),
    facts: new FactsCache(
      deps.kernel,
      () => [...registry.networks.values()].flatMap(({ pools }) => pools.map(({ subnet }) => subnet)),
      deps.underlay,
    ),
    events: new EventBus(deps.logger),
    world: new SharedLock(),
    locks: new KeyedLock(),
    watcher: {
      observe: (paths) => later('watch namespaces', deps.kernel.observe(paths)),
      forget: (paths) => later('stop watching namespaces', deps.kernel.forget(paths)),
    },
    unreadable: [],
  };

  const reconciler = new Reconciler(ctx);
  let closed: string | null = null;
  const assertOpen = (): void => {
    if (closed !== null) throw new MoorError('unavailable', closed);
  };
  /** Runs an operation beside others. */
  const operation = async <T>(work: () => Promise<T>): Promise<T> => {
    assertOpen();
    using _world = await ctx.world.shared();
    assertOpen();
    return await work();
  };
  /** Runs something that must be alone. */
  const alone = async <T>(work: () => Promise<T>): Promise<T> => {
    assertOpen();
    using _world = await ctx.world.exclusive();
    assertOpen();
    return await work();
  };
  const supervisor = new Supervisor(ctx, async (id) => {
    await operation(() => removeSandbox(ctx, id));
  });

  const spanning = new Spanning(ctx, { operation, look: reconciler.look });

  let loaded = await load(ctx);
  if (deps.config.resetOnStart === true) {
    await resetAll(ctx, {});
    loaded = await load(ctx);
  }
  const keeper = new PortKeeper(ctx);
  await keeper.restore();
  const unwatch = await deps.kernel.watch((event: KernelEvent) => reconciler.notice(event));
  const resolvConf = deps.watchResolvConf?.(reconciler.noticeResolvConf);
  try {
    await joinCluster(ctx);
    await settle(ctx, loaded, reconciler);
  } catch (error) {
    resolvConf?.[Symbol.dispose]();
    await unwatch();
    // A first start that fails leaves the host as it was; later ones, and one that cannot read what there is, have sandboxes that live on.
    const { host, networks, sandboxes, unreadable } = loaded;
    if (host === null && networks.length + sandboxes.length + unreadable.length === 0) {
      await resetAll(ctx, {}).catch((err: unknown) => ctx.logger.error({ err }, 'could not remove what the start made'));
    }
    throw error;
  }
  for (const sandbox of registry.sandboxes.values()) supervisor.watch(sandbox);
  reconciler.start(await ctx.facts.get());
  await spanning.start();

  let features: readonly Feature[] | null = null;
  const status = async (): Promise<EngineStatus> => {
    features ??= await deps.kernel.features();
    const [facts, cluster] = [await ctx.facts.actual(), await spanning.status()];
    return {
      networks: registry.networks.size,
      sandboxes: registry.sandboxes.size,
      endpoints: registry.endpointCount(),
      pools: deps.ipam.flatMap((ipam) => [...ipam.usage()]),
      features,
      facts,
      warnings: [
        ...(deps.warnings?.(facts) ?? []),
        ...nearlyFull(ctx),
        ...spanning.warnings(),
        ...keeper.warnings(),
        ...ctx.unreadable.map(({ key, error }) => `row ${key} of the store cannot be read: ${error.message}`),
      ],
      repairs: [...reconciler.repairs],
      names: await deps.resolver.status(),
      ...(cluster === undefined ? {} : { cluster }),
    };
  };

  return {
    networks: {
      list: () => [...registry.networks.values()],
      get: (reference) => registry.network(reference),
      attachments: (network) => registry.attachments(network),
      peers: (network) => peersOf(ctx, network),
      remotes: (network) => remotesOf(ctx, network),
      create: (spec, options) => operation(() => spanning.create(spec, options)),
      remove: (reference, options) => operation(() => spanning.remove(reference, options)),
      prune: (filter, options) => operation(() => pruneNetworks(ctx, filter, options)),
      connect: (network, { sandbox, endpoint }, options) =>
        operation(() => connect(ctx, { network, sandbox, spec: endpoint }, options)),
      disconnect: (network, sandbox, options) => operation(() => disconnect(ctx, { network, sandbox }, options)),
    },
    sandboxes: {
      list: () => [...registry.sandboxes.values()],
      get: (reference) => registry.sandbox(reference),
      create: (spec, options) =>
        operation(async () => {
          const outcome = await createSandbox(ctx, spec, options);
          if (options?.dryRun !== true) supervisor.watch(outcome.value);
          return outcome;
        }),
      remove: (reference, options) => operation(() => removeSandbox(ctx, reference, options)),
      check: (spec) => checkSandbox(ctx, spec),
      reserveName: (name, id) => reserveName(ctx, name, id),
      rename: (reference, name) => operation(() => renameSandbox(ctx, reference, name)),
      setProcess: (reference, process) =>
        operation(async () => {
          const sandbox = await setProcess(ctx, reference, process);
          supervisor.watch(sandbox);
          return sandbox;
        }),
      publish: (reference, specs, options) =>
        operation(async () => publishedPorts(await publishPorts(ctx, { reference, specs }, options))),
      unpublish: (reference, specs, options) =>
        operation(async () => publishedPorts(await unpublishPorts(ctx, { reference, specs }, options))),
      files: (reference) => fileTargets(deps.config.instance, registry.sandbox(reference)),
    },
    status,
    reconcile: () =>
      alone(async () => {
        const { repaired, failed } = await reconciler.full();
        return [
          ...repaired.map(({ what, where, why }) => `restored ${what} in ${where}: ${why}`),
          ...failed.map(({ what, where, error }) => `could not restore ${what} in ${where}: ${error}`),
        ];
      }),
    drift: () => alone(() => planRepairs(ctx)),
    reset: async (options = {}) => {
      if (options.dryRun !== true) {
        assertOpen();
        await spanning.close();
      }
      return await alone(async () => {
        const outcome = await resetAll(ctx, options);
        if (options.dryRun !== true) {
          await deps.tunnels?.keep(new Set());
          await leave(deps);
          closed = 'everything of this daemon was removed: start it again';
          supervisor.stop();
          keeper.close();
          reconciler.close();
        }
        return outcome;
      });
    },
    publish: (event) => ctx.events.emit(event),
    subscribe: (listener, since) => ctx.events.subscribe(listener, since),
    async [Symbol.asyncDispose]() {
      closed ??= 'the daemon is stopping';
      supervisor.stop();
      keeper.close();
      reconciler.close();
      await spanning.close();
      await reconciler.idle();
      resolvConf?.[Symbol.dispose]();
      // Whoever is at work finishes; whoever waits is refused.
      using _world = await ctx.world.exclusive();
      await unwatch();
      await ctx.executor[Symbol.asyncDispose]();
      await Promise.all(background);
    },
  };
}

/** Before anything is compared with the kernel: the others hear what is here, and what they have is known. */
async function joinCluster(ctx: Context): Promise<void> {
  for (const sandbox of ctx.registry.sandboxes.values()) tellCluster(ctx, { before: null, after: sandbox });
  await ctx.cluster?.complete();
  loadRemotes(ctx);
}

/** The other hosts need not wait until this one's leases run out. */
async function leave({ cluster, logger, store }: EngineDeps): Promise<void> {
  try {
    await cluster?.leave();
    // Also what it has kept since.
    await store.commit([deleteKey(CLUSTER_KEY)]);
  } catch (error) {
    logger.warn({ err: error }, 'could not leave the cluster: what this host has leased there runs out by itself');
  }
}

/** Networks that have room for few more endpoints: nine in ten are taken. */
function nearlyFull(ctx: Context): string[] {
  return [...ctx.registry.networks.values()].flatMap((network) => {
    const limit = ctx.drivers.find(({ type }) => type === network.driver)?.capabilities.maxEndpoints;
    const ports = ctx.registry.ports(network.id);
    if (limit === undefined || ports < 0.9 * limit.count) return [];
    return [`network ${network.name} has ${ports} of at most ${limit.count} endpoints: ${limit.why}`];
  });
}
