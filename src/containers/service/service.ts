/** Containers: what the doors call. Composes the parts. */
import { MoorError } from '../../base/errors.ts';
import { KeyedLock } from '../../base/keyed-lock.ts';
import type { Containers } from '../../contracts/containers.ts';
import { attachContainer, containerLogs, containerRoot, resizeContainer } from './attach.ts';
import { renameContainer, updateContainer } from './change.ts';
import { connectContainer, disconnectContainer } from './connections.ts';
import { type Context, type ServiceDeps, TIMES } from './context.ts';
import { createContainer } from './create.ts';
import { createExec, execState, startExec } from './exec.ts';
import { Execs } from './exec-registry.ts';
import { handleExit } from './exit.ts';
import { publishContainer, unpublishContainer } from './ports.ts';
import { isActive, Registry } from './registry.ts';
import { removeContainer } from './remove.ts';
import { restore, startWanted } from './restore.ts';
import { Roots } from './roots.ts';
import { startContainer } from './start.ts';
import { containerStats } from './stats.ts';
import { killContainer, pauseContainer, restartContainer, stopContainer, unpauseContainer } from './stop.ts';
import { topContainer } from './top.ts';
import { volumeOperations } from './volumes.ts';
import { VolumeRegistry } from './volume-registry.ts';
import { waitContainer } from './wait.ts';

export type { ReadLogs, ServiceConfig, ServiceDeps, ServiceTimes } from './context.ts';

/**
 * Takes up what an earlier daemon left; restart policies are carried out in the background.
 * @returns when every record agrees with its processes. Disposing it leaves containers as they are.
 */
export async function createContainers(deps: ServiceDeps): Promise<Containers> {
  const stopping = new AbortController();
  const background = new Set<Promise<void>>();
  const ctx: Context = {
    ...deps,
    times: { ...TIMES, ...deps.config.times },
    registry: new Registry(),
    volumes: new VolumeRegistry(),
    roots: new Roots(deps.rootFiles),
    execs: new Execs(deps.clock.now),
    locks: new KeyedLock(),
    stopping: stopping.signal,
    later: (what, work) => {
      const settled = work.then(
        () => {},
        (error: unknown) => deps.logger.error({ err: error }, `could not ${what}`),
      );
      background.add(settled);
      void settled.then(() => background.delete(settled));
    },
    ended: (live, ended) => handleExit(ctx, live, ended),
  };
  const wanted = await restore(ctx);
  if (wanted.length > 0) ctx.later('start containers', startWanted(ctx, wanted));

  return {
    list: () => ctx.registry.all().map(({ container }) => container),
    get: (reference) => ctx.registry.find(reference).container,
    create: (spec) => createContainer(ctx, spec),
    start: (reference) => startContainer(ctx, reference),
    stop: (reference, options) => stopContainer(ctx, reference, options),
    restart: (reference, options) => restartContainer(ctx, reference, options),
    kill: (reference, signal) => killContainer(ctx, reference, signal),
    pause: (reference) => pauseContainer(ctx, reference),
    unpause: (reference) => unpauseContainer(ctx, reference),
    rename: (reference, name) => renameContainer(ctx, reference, name),
    update: (reference, changes) => updateContainer(ctx, reference, changes),
    remove: (reference, options) => removeContainer(ctx, reference, options),
    prune: (accepts) => prune(ctx, accepts),
    wait: (reference, condition, signal) => waitContainer(ctx, reference, { condition, signal }),
    logs: (reference, query, signal) => containerLogs(ctx, reference, { query, signal }),
    attach: (reference) => attachContainer(ctx, reference),
    logPath: (reference) => ctx.runtime.logPath(ctx.registry.find(reference).container.id),
    resize: (reference, size) => resizeContainer(ctx, reference, size),
    top: (reference, psArguments) => topContainer(ctx, reference, psArguments),
    stats: (reference) => containerStats(ctx, reference),
    execCreate: (reference, request) => createExec(ctx, reference, request),
    execGet: (id) => execState(ctx, id),
    execStart: (id, admitted) => startExec(ctx, id, admitted),
    execResize: async (id, size) => {
      const { request } = ctx.execs.get(id);
      await ctx.runtime.resize(request.container.id, size, request.id);
    },
    connect: (network, reference, endpoint) => connectContainer(ctx, network, { reference, endpoint }),
    disconnect: (network, reference, { force }) => disconnectContainer(ctx, network, { reference, force }),
    publish: (reference, specs, options) => publishContainer(ctx, { reference, specs }, options),
    unpublish: (reference, specs, options) => unpublishContainer(ctx, { reference, specs }, options),
    root: (reference) => containerRoot(ctx, reference),
    volumes: volumeOperations(ctx),
    async [Symbol.asyncDispose]() {
      stopping.abort();
      for (const { late } of ctx.registry.all()) for (const streams of late) streams.end();
      await Promise.all(background);
    },
  };
}

/** Everything that does not run and is accepted. */
async function prune(ctx: Context, accepts: Parameters<Containers['prune']>[0]): ReturnType<Containers['prune']> {
  const ids: Awaited<ReturnType<Containers['prune']>>['ids'][number][] = [];
  let reclaimed = 0;
  for (const { container } of ctx.registry.all()) {
    if (isActive(container.state) || !accepts(container)) continue;
    const size = await ctx.rootFiles.size(container.id);
    try {
      await removeContainer(ctx, container.id, { force: false, volumes: false });
    } catch (error) {
      // Started or removed by somebody else meanwhile.
      if (error instanceof MoorError && (error.kind === 'conflict' || error.kind === 'not-found')) continue;
      throw error;
    }
    ids.push(container.id);
    reclaimed += size;
  }
  return { ids, reclaimed };
}
