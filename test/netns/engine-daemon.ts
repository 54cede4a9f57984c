/** The engine on the real kernel and the real store, without the doors in front of it. */
import { silentLogger, systemClock } from '../../src/base/clock.ts';
import type { Engine } from '../../src/contracts/engine.ts';
import type { IpamDriver } from '../../src/contracts/ipam.ts';
import type { Kernel } from '../../src/contracts/kernel.ts';
import type { Store } from '../../src/contracts/store.ts';
import { createBridgeDriver } from '../../src/drivers/bridge/index.ts';
import { createHostDriver } from '../../src/drivers/host/index.ts';
import { createNullDriver } from '../../src/drivers/none/index.ts';
import { createResolver } from '../../src/dns/resolver.ts';
import { createEngine } from '../../src/engine/engine.ts';
import { createLocalIpam } from '../../src/ipam/local/ipam.ts';
import { createKernel } from '../../src/kernel/kernel.ts';
import { listDirectory } from '../../src/main/daemon/list-directory.ts';
import { type Instance, tableName } from '../../src/model/instance.ts';
import { openSqliteStore } from '../../src/store/sqlite/store.ts';
import { MemoryLogger } from '../engine/setup.ts';

export interface Daemon extends AsyncDisposable {
  readonly engine: Engine;
  readonly store: Store;
  readonly ipam: IpamDriver;
  readonly logger: MemoryLogger;
}

/** @param between puts something between the engine and the kernel */
export async function daemon(instance: Instance, between: (kernel: Kernel) => Kernel = (kernel) => kernel): Promise<Daemon> {
  await using stack = new AsyncDisposableStack();
  const logger = new MemoryLogger();
  const kernel = stack.use(await createKernel({ instance, tableName: tableName(instance), logger: silentLogger }));
  const store = stack.use(await openSqliteStore({ file: `${instance.dataRoot}/state.db` }));
  const ipam = createLocalIpam({ pools: [] });
  const resolver = stack.use(await createResolver({ logger: silentLogger }));
  const engine = stack.use(
    await createEngine({
      config: { instance, defaultBridge: { name: 'moor0', options: {}, ipv6: false }, defaultNetworkOptions: {} },
      kernel: between(kernel),
      store,
      ipam: [ipam],
      drivers: [createBridgeDriver({ instance }), createHostDriver(), createNullDriver()],
      processes: { alive: () => false, ended: async () => {}, stop: async () => {} },
      clock: systemClock,
      logger,
      resolver,
      listDirectory,
    }),
  );
  const owned = stack.move();
  return { engine, store, ipam, logger, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
