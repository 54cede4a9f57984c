/** `docker start`: root, network and process; on any failure everything is undone. */
import { mkdir } from 'node:fs/promises';
import { conflict, notFound } from '../../base/errors.ts';
import type { ExitStatus, StartRequest } from '../../contracts/containers.ts';
import type { Container } from '../../model/container.ts';
import type { ProcessRef } from '../../model/sandbox.ts';
import type { Context } from './context.ts';
import { containerEvent, mountEvents } from './events.ts';
import { watchHealth } from './health.ts';
import { makesSource } from './mounts.ts';
import { isActive, type Live, type Run } from './registry.ts';
import { ignoreGone, removeContainer } from './remove.ts';
import { makeStack, removeStack, runningPeer } from './stack.ts';
import { startFailure } from './start-error.ts';
import { isoNow, save, saveIfPossible, setState } from './state.ts';
import { attempt, together, Undo } from './undo.ts';
import { makeDirectory } from './volumes.ts';
import { watchExit } from './watch.ts';

const SIGKILL = 9;

/** @returns false when it was running already @throws conflict; what failed, with everything undone */
export async function startContainer(ctx: Context, reference: string): Promise<boolean> {
  const { id } = ctx.registry.find(reference).container;
  let failed: unknown;
  {
    using _lock = await ctx.locks.hold(id);
    const live = ctx.registry.get(id);
    if (live === undefined) throw notFound(`No such container: ${reference}`);
    const { status } = live.container.state;
    if (status === 'paused') throw conflict('cannot start a paused container, try unpause instead');
    if (live.removing || status === 'removing' || status === 'dead') {
      throw conflict('container is marked for removal and cannot be started');
    }
    if (isActive(live.container.state)) return false;
    live.delay = 0;
    live.container = { ...live.container, restartCount: 0, stoppedByUser: false };
    try {
      await launch(ctx, live);
      return true;
    } catch (error) {
      failed = error;
    }
  }
  // Outside of the lock, which the removal takes.
  if (ctx.registry.get(id)?.container.hostConfig.AutoRemove === true) {
    await attempt(ctx.logger, `remove container ${reference}`, () => removeContainer(ctx, id, { force: true, volumes: true }));
  }
  throw failed;
}

/** The container's lock is held. @throws what failed; the state then says so too */
export async function launch(ctx: Context, live: Live): Promise<void> {
  const undo = new Undo();
  try {
    const { process, run } = await makeProcess(ctx, live, undo);
    // Before: a command may have ended by the time that we are told that it runs.
    const startedAt = isoNow(ctx);
    await ctx.runtime.start(live.container.id);
    const health = { health: watchHealth(ctx, live, run) };
    setState(live, { ...STARTED, ...health, status: 'running', process, startedAt });
    await save(ctx, live);
    mountEvents(ctx, live.container, 'mount');
    containerEvent(ctx, live.container, 'start');
  } catch (cause) {
    const { exitCode, error } = startFailure(cause);
    live.run?.watch.abort();
    live.run?.ended.abort();
    await undo.run(ctx.logger);
    live.run = null;
    for (const late of live.late) late.end();
    live.late.clear();
    const status = live.container.state.startedAt.startsWith('0001') ? 'created' : 'exited';
    setState(live, { status, process: null, exitCode, error: error.message, health: null });
    await saveIfPossible(ctx, live);
    throw error;
  }
}

const STARTED = { exitCode: 0, error: '', oomKilled: false } as const;

/** Everything up to the command's first instruction. */
async function makeProcess(ctx: Context, live: Live, undo: Undo): Promise<{ readonly process: ProcessRef; readonly run: Run }> {
  const { container } = live;
  const { id } = container;
  const image = ctx.images.get(container.imageId);
  const lower = ctx.images.lower(container.imageId);
  // Each of the three is undone whether or not the other two worked.
  const [root, stack] = await together([
    ctx.roots.hold(id, lower).then((path) => {
      undo.defer('unmount the root', () => ctx.roots.release(id));
      return path;
    }),
    makeStack(ctx, container).then(
      (made) => {
        undo.defer('remove the network stack', () => removeStack(ctx, id));
        return made;
      },
      async (error: unknown) => {
        await attempt(ctx.logger, 'remove the network stack', () => removeStack(ctx, id));
        throw error;
      },
    ),
    prepareSources(ctx, container),
  ]);
  const request: StartRequest = {
    container,
    image,
    root,
    netns: stack.netns,
    hostname: stack.hostname,
    files: withoutMounted(stack.files, container),
    mounts: container.mounts.toSorted((a, b) => depth(a.destination) - depth(b.destination)),
    shared: {
      pid: sharedNamespace(ctx, container, 'pid'),
      ipc: sharedNamespace(ctx, container, 'ipc'),
    },
  };
  undo.defer('remove the process', async () => {
    if (live.run !== null) await ignoreGone(() => ctx.runtime.kill(id, SIGKILL));
    await ctx.runtime.remove(id);
  });
  const process = await ctx.runtime.create(request);
  const run = newRun(ctx);
  live.run = run;
  watchExit(ctx, live, run);
  for (const late of live.late) late.join(await ctx.runtime.attach(id));
  live.late.clear();
  return { process, run };
}

export function newRun(ctx: Context): Run {
  const { promise, resolve } = Promise.withResolvers<ExitStatus>();
  const [ended, watch] = [new AbortController(), new AbortController()];
  return {
    ended,
    watch,
    done: promise,
    started: ctx.clock.now(),
    finish: (status) => {
      ended.abort();
      watch.abort();
      resolve(status);
    },
  };
}

/** Directories of volumes and, where they are made when missing, of bind mounts. */
async function prepareSources(ctx: Context, container: Container): Promise<void> {
  for (const mount of container.mounts) {
    if (mount.type === 'volume' && mount.name !== undefined) {
      const volume = ctx.volumes.lookup(mount.name);
      if (volume === undefined) throw notFound(`get ${mount.name}: no such volume`);
      await makeDirectory(ctx, volume);
    } else if (mount.type === 'bind' && makesSource(container, mount)) await makeBindSource(mount.source);
  }
}

async function makeBindSource(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o755 });
  } catch (error) {
    // A file, which is mounted as one.
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return;
    throw error;
  }
}

/** A mount of the user's stands in front of a file of ours. */
function withoutMounted(files: Readonly<Record<string, string>>, { mounts }: Container): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(files).filter(
      ([target]) => !mounts.some(({ destination }) => destination === target || destination === '/etc'),
    ),
  );
}

const depth = (path: string): number => path.split('/').length;

function sharedNamespace(ctx: Context, container: Container, kind: 'pid' | 'ipc'): string | null {
  const mode = kind === 'pid' ? container.hostConfig.PidMode : container.hostConfig.IpcMode;
  if (!mode.startsWith('container:')) return null;
  const what = `${kind.toUpperCase()} namespace`;
  const other = runningPeer(ctx, container, { reference: mode.slice('container:'.length), what });
  return `/proc/${other.container.state.process?.pid ?? 0}/ns/${kind}`;
}
