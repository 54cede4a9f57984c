/** The running daemon: everything composed, started in order, and stopped in the opposite one. */
import { takeSocket } from '../../api/hijack.ts';
import { registerMoor } from '../../api/moor.ts';
import { createServer } from '../../api/server.ts';
import { apiVersionOf } from '../../api/version.ts';
import { type Logger, systemClock } from '../../base/clock.ts';
import { describe } from '../../contracts/describe.ts';
import { TABLE as NAMES_TABLE } from '../../dns/plan.ts';
import { createResolver } from '../../dns/resolver.ts';
import { registerDocker } from '../../docker/routes.ts';
import { forwardWarnings } from '../../drivers/bridge/foreign.ts';
import { createBridgeDriver } from '../../drivers/bridge/index.ts';
import { loopbackOf } from '../../drivers/bridge/loopback.ts';
import { tableRef } from '../../drivers/bridge/plan.ts';
import { createHostDriver } from '../../drivers/host/index.ts';
import { createNullDriver } from '../../drivers/none/index.ts';
import { createOverlayDriver } from '../../drivers/overlay/index.ts';
import { createRoutedDriver } from '../../drivers/routed/index.ts';
import { createEngine } from '../../engine/engine.ts';
import { withShortcut } from '../../engine/port-shortcut.ts';
import { createLocalIpam } from '../../ipam/local/ipam.ts';
import { createKernel } from '../../kernel/kernel.ts';
import { noShortcut, openShortcut } from '../../kernel/shortcut/shortcut.ts';
import { tableName } from '../../model/instance.ts';
import { openSqliteStore } from '../../store/sqlite/store.ts';
import { threadsNamed } from '../../sys/threads.ts';
import { takeNetns } from './alone.ts';
import { openCluster } from './cluster.ts';
import type { DaemonConfig } from './config.ts';
import { openContainers, withContainers } from './containers.ts';
import { makeDirectory } from './directory.ts';
import { engineConfig, instanceOf } from './engine-config.ts';
import { exposed } from './exposed.ts';
import { createExposure } from './exposure.ts';
import { listDirectory } from './list-directory.ts';
import { checkSockets, listen } from './listen.ts';
import { takePidfile } from './pidfile.ts';
import { processes } from './processes.ts';
import { systemFacts } from './system.ts';
import { createTunnels, udpTunnels } from './tunnels.ts';
import { withoutCluster } from './underlay.ts';
import { watchFiles } from './watch-files.ts';

/** Of the host: resolv.conf(5), and what systemd-resolved(8) asks itself, which sandboxes get where it is only named as a stub. */
const RESOLV_CONF = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];
/** The store's thread and the resolver's: a connect is written down, and names are answered, while the kernel is at it. */
const beside = (): readonly number[] => threadsNamed(['store', 'moor-dns']);
/** Milliseconds that answers under way get when the daemon stops. */
const GRACE_MS = 10_000;

export interface DaemonOptions {
  readonly config: DaemonConfig;
  readonly version: string;
  readonly logger: Logger;
  readonly debug: () => boolean;
}

export interface Daemon extends AsyncDisposable {
  readonly addresses: readonly string[];
}

/**
 * Resolves when the API answers. Disposing it stops accepting, lets answers under way finish, and leaves the kernel as it is.
 * @throws what failed, with everything undone that this process had opened
 */
export async function startDaemon({ config, version, logger, debug }: DaemonOptions): Promise<Daemon> {
  await using stack = new AsyncDisposableStack();
  stack.use(takePidfile(config.pidfile));
  await checkSockets(config.hosts);
  const instance = instanceOf(config);
  stack.use(takeNetns(instance, logger));
  makeDirectory(config.dataRoot, 0o711);
  makeDirectory(config.execRoot, 0o755);

  const bridge = createBridgeDriver({ instance });
  const drivers = [
    bridge,
    createRoutedDriver({ instance, local: bridge, flannelFolder: config.flannelFolder }),
    createOverlayDriver({ instance }),
    createHostDriver(),
    createNullDriver(),
  ];
  const store = stack.use(await openSqliteStore({ file: `${config.dataRoot}/state.db` }));
  const shortcut = stack.use(config.loopbackShortcut ? openShortcut() : noShortcut());
  if (shortcut.feature.state !== 'yes') logger.info({}, `ports at the loopback are translated: ${shortcut.feature.why}`);
  const kernel = withShortcut(
    stack.use(await createKernel({ instance, tableName: tableName(instance), innerTables: [NAMES_TABLE], logger, beside })),
    { shortcut, table: tableRef(instance), read: loopbackOf, logger },
  );
  const resolver = stack.use(await createResolver({ logger }));
  const link = stack.use(await openCluster({ config, version, store, kernel, drivers, logger }));
  const engine = stack.use(
    await createEngine({
      config: engineConfig(config),
      kernel,
      store,
      ipam: [
        createLocalIpam({ pools: config.addressPools ?? [] }),
        ...(link === null ? [] : [(await import('../../ipam/cluster/ipam.ts')).createClusterIpam(link.cluster)]),
      ],
      drivers,
      ...(link === null ? await withoutCluster(store) : { cluster: link.cluster, underlay: link.underlay, paths: link.paths }),
      tunnels: createTunnels(logger, udpTunnels(config, logger)),
      processes,
      resolver,
      watchResolvConf: (changed) => watchFiles(RESOLV_CONF, changed, logger),
      clock: systemClock,
      logger,
      warnings: forwardWarnings,
      listDirectory,
    }),
  );

  if (link !== null) {
    link.useBy((network) => engine.networks.attachments(network).length > 0);
    for (const { network } of link.cluster.networks()) link.cluster.refresh(network.id);
  }

  const { dataRoot, execRoot } = config;
  const { containers, images, rootFiles, programs } = stack.use(
    await openContainers({ dataRoot, execRoot, dns: config.dns, engine, store, logger }),
  );

  const exposure = stack.use(createExposure({ table: tableName(instance) }));
  const watched = exposed({
    engine: withContainers(engine, containers),
    containers,
    exposure,
    logger,
    table: tableName(instance),
    tableNames: kernel.tableNames,
    shortcut: () => shortcut.feature.state === 'yes',
  });

  const stopping = new AbortController();
  const app = createServer({ logger, version, changing: () => kernel.expect([]) });
  registerDocker(app, {
    engine,
    containers: watched.containers,
    images,
    rootFiles,
    takeSocket,
    processes,
    clock: systemClock,
    system: systemFacts({
      version,
      dataRoot: config.dataRoot,
      networkDrivers: drivers.map(({ type }) => type),
      addressPools: config.addressPools ?? [],
      programs,
      debug,
    }),
    apiVersion: apiVersionOf,
    stopping: stopping.signal,
  });
  registerMoor(app, {
    engine: watched.engine,
    exposure: watched.report,
    describe,
    daemon: { version, pid: process.pid, dataRoot: config.dataRoot, execRoot: config.execRoot, instance: config.instance },
  });
  const listening = await listen({ app, addresses: config.hosts, group: config.group, logger });
  stack.defer(async () => {
    stopping.abort();
    const timer = setTimeout(() => listening.closeAll(), GRACE_MS);
    await listening.close();
    clearTimeout(timer);
  });

  const owned = stack.move();
  return { addresses: listening.addresses, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
