/** Containers as a daemon has them: images, runtime, roots, and the service over them. */
import type { Logger } from '../../base/clock.ts';
import { systemClock } from '../../base/clock.ts';
import { errorData, MoorError } from '../../base/errors.ts';
import { createImages } from '../../containers/images/images.ts';
import { readLogs } from '../../containers/logs/read.ts';
import { createRootFiles } from '../../containers/root/files.ts';
import { createRuntime } from '../../containers/runtime/runtime.ts';
import { createContainers } from '../../containers/service/service.ts';
import type { Containers, Images, RootFiles, Runtime } from '../../contracts/containers.ts';
import type { Engine } from '../../contracts/engine.ts';
import type { Store } from '../../contracts/store.ts';
import type { SandboxDns } from '../../model/sandbox.ts';
import { processes } from './processes.ts';

export interface ContainerOptions {
  readonly dataRoot: string;
  readonly execRoot: string;
  /** For containers that do not say. */
  readonly dns: SandboxDns;
  readonly engine: Engine;
  readonly store: Store;
  readonly logger: Logger;
}

export interface ContainerParts extends AsyncDisposable {
  readonly containers: Containers;
  readonly images: Images;
  readonly rootFiles: RootFiles;
  /** What containers are run with, as `docker version` lists it; empty where it is not installed. */
  readonly programs: readonly { readonly name: string; readonly version: string }[];
}

/** Resolves when the containers of an earlier daemon have been taken up. Disposing leaves them running. */
export async function openContainers({
  dataRoot,
  execRoot,
  dns,
  engine,
  store,
  logger,
}: ContainerOptions): Promise<ContainerParts> {
  await using stack = new AsyncDisposableStack();
  const images = await createImages({ dataRoot, store, clock: systemClock, logger });
  const runtime = stack.use(await createRuntime({ dataRoot, execRoot, logger }));
  const rootFiles = createRootFiles({ dataRoot });
  const config = { dataRoot, execRoot, dns };
  const deps = { engine, images, runtime, rootFiles, store, processes, clock: systemClock, logger, readLogs, config };
  const containers = stack.use(await createContainers(deps));
  const programs = await probe(runtime, logger);
  const owned = stack.move();
  return { containers, images, rootFiles, programs, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A machine without them can still have networks and sandboxes: whoever starts a container is told what to install. */
async function probe(runtime: Runtime, logger: Logger): Promise<ContainerParts['programs']> {
  try {
    const { runtime: path, version, monitor } = await runtime.probe();
    const named = (text: string): string => /\d+(\.\d+)+\S*/.exec(text)?.[0] ?? text;
    return [
      { name: path.split('/').at(-1) ?? path, version: named(version) },
      { name: 'conmon', version: named(monitor) },
    ];
  } catch (error) {
    logger.warn({ error: errorData(error) }, 'containers cannot be run on this machine');
    return [];
  }
}

/** The engine with containers in it: ports of theirs are published by their service, and a reset takes them along. */
export function withContainers(engine: Engine, containers: Containers): Engine {
  const has = (reference: string): boolean => {
    try {
      containers.get(reference);
      return true;
    } catch (error) {
      if (error instanceof MoorError && error.kind === 'not-found') return false;
      throw error;
    }
  };
  return {
    ...engine,
    // What a container publishes is part of its record as well.
    sandboxes: {
      ...engine.sandboxes,
      publish: (reference, ...rest) => (has(reference) ? containers : engine.sandboxes).publish(reference, ...rest),
      unpublish: (reference, ...rest) => (has(reference) ? containers : engine.sandboxes).unpublish(reference, ...rest),
    },
    reset: async (options) => {
      if (options?.dryRun !== true) {
        await Promise.all(containers.list().map(({ id }) => containers.remove(id, { force: true, volumes: true })));
      }
      return engine.reset(options);
    },
  };
}
