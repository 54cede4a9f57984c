/** `docker attach` and logs. */
import { conflict } from '../../base/errors.ts';
import type { LogEntry, LogQuery, Streams } from '../../contracts/containers.ts';
import type { Context } from './context.ts';
import { containerEvent } from './events.ts';
import { LateStreams } from './late-streams.ts';
import { isUp } from './registry.ts';
import { mountVolumes } from './stopped-root.ts';

/** Of a container that does not run yet: streams that come alive when it is started, as `docker run` wants them. */
export async function attachContainer(ctx: Context, reference: string): Promise<Streams> {
  const { id } = ctx.registry.find(reference).container;
  // A start under way has looked at who waits, or it has not: only the lock tells.
  using _lock = await ctx.locks.hold(id);
  const live = ctx.registry.find(id);
  const { state, config } = live.container;
  if (state.status === 'paused') throw conflict(`container ${id} is paused, unpause the container before attach`);
  if (state.status === 'restarting') throw conflict(`container ${id} is restarting, wait until the container is running`);
  if (isUp(state)) {
    const streams = await ctx.runtime.attach(id);
    containerEvent(ctx, live.container, 'attach');
    return streams;
  }
  const late = new LateStreams(config.OpenStdin, () => live.late.delete(late));
  live.late.add(late);
  containerEvent(ctx, live.container, 'attach');
  return late;
}

export function containerLogs(
  ctx: Context,
  reference: string,
  { query, signal }: { readonly query: LogQuery; readonly signal: AbortSignal },
): AsyncIterable<LogEntry> {
  const live = ctx.registry.find(reference);
  const ended = live.run?.ended.signal ?? AbortSignal.abort();
  return ctx.readLogs({ path: ctx.runtime.logPath(live.container.id), ended }, query, AbortSignal.any([signal, ctx.stopping]));
}

export async function resizeContainer(
  ctx: Context,
  reference: string,
  size: { readonly rows: number; readonly columns: number },
): Promise<void> {
  const { id, state } = ctx.registry.find(reference).container;
  if (!isUp(state)) throw conflict(`container ${id} is not running`);
  await ctx.runtime.resize(id, size);
  const live = ctx.registry.find(id);
  containerEvent(ctx, live.container, ['resize', { height: String(size.rows), width: String(size.columns) }]);
}

/** For archive calls. A running container is seen as it sees itself, a stopped one as it will. */
export async function containerRoot(
  ctx: Context,
  reference: string,
): Promise<{ readonly root: string; readonly done: () => Promise<void> }> {
  const { id, imageId, state, mounts } = ctx.registry.find(reference).container;
  if (isUp(state) && state.process !== null) return { root: `/proc/${state.process.pid}/root`, done: async () => {} };
  const alone = ctx.roots.users(id) === 0;
  const root = await ctx.roots.hold(id, ctx.images.lower(imageId));
  let held = true;
  const done = async (): Promise<void> => {
    if (!held) return;
    held = false;
    await ctx.roots.release(id);
  };
  try {
    if (alone) mountVolumes(root, mounts);
  } catch (error) {
    await done();
    throw error;
  }
  return { root, done };
}
