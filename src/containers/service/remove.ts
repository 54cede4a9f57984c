/** `docker rm`: the row says `removing` first, so that a crash in the middle is finished at the next start. */
import { conflict, MoorError } from '../../base/errors.ts';
import type { Id } from '../../base/ids.ts';
import type { Context } from './context.ts';
import { containerEvent } from './events.ts';
import { deleteContainer, putContainer } from './records.ts';
import { isActive, isUp, type Live } from './registry.ts';
import { removeStack } from './stack.ts';
import { setState } from './state.ts';
import { removeAnonymous } from './volumes.ts';
import { cancelRestart } from './watch.ts';

const SIGKILL = 9;

export interface RemoveOptions {
  readonly force: boolean;
  readonly volumes: boolean;
}

/** @throws conflict with Docker's texts */
export async function removeContainer(ctx: Context, reference: string, { force, volumes }: RemoveOptions): Promise<void> {
  const live = ctx.registry.find(reference);
  if (live.removing) throw conflict(`removal of container ${reference} is already in progress`);
  const { status } = live.container.state;
  if (isActive(live.container.state) && !force) {
    const how = status === 'paused' ? 'unpause and then stop the container' : 'stop the container';
    throw conflict(`cannot remove container "${reference}": container is ${status}: ${how} before removing or force remove`);
  }
  live.removing = true;
  try {
    await end(ctx, live);
    using _lock = await ctx.locks.hold(live.container.id);
    await dispose(ctx, live, volumes);
  } finally {
    live.removing = false;
  }
}

/** SIGKILL, and the wait for it, without the lock, which the handling of the end takes. */
async function end(ctx: Context, live: Live): Promise<void> {
  {
    using _lock = await ctx.locks.hold(live.container.id);
    await cancelRestart(ctx, live);
    if (live.run === null) return;
    live.container = { ...live.container, stoppedByUser: true };
  }
  await killAndWait(ctx, live);
}

/** @throws timeout when the process does not go */
export async function killAndWait(ctx: Context, live: Live): Promise<void> {
  const { run, container } = live;
  if (run === null) return;
  await ignoreGone(() => ctx.runtime.kill(container.id, SIGKILL));
  // A frozen process takes no signal.
  if (isUp(container.state) && container.state.status === 'paused') await ignoreGone(() => ctx.runtime.resume(container.id));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, ctx.times.kill, 'late');
  });
  const first = await Promise.race([run.done, late]);
  clearTimeout(timer);
  if (first === 'late') {
    throw new MoorError('timeout', `cannot kill container: ${container.name}: its process did not end in ${ctx.times.kill} ms`);
  }
}

/** It may end by itself at any moment. */
export async function ignoreGone(step: () => Promise<void>): Promise<void> {
  try {
    await step();
  } catch (error) {
    if (error instanceof MoorError && (error.kind === 'not-found' || error.kind === 'conflict')) return;
    throw error;
  }
}

/** The container's lock is held, and no process is left. */
export async function dispose(ctx: Context, live: Live, volumes: boolean): Promise<void> {
  const { id, state } = live.container;
  setState(live, { status: 'removing' });
  await ctx.store.commit([putContainer(live.container, { withVolumes: volumes })]);
  await forgetRuns(ctx, id);
  await ctx.rootFiles.remove(id);
  ctx.volumes.release(live.container);
  if (volumes) await removeAnonymous(ctx, live.container);
  await ctx.store.commit([deleteContainer(live.container)]);
  ctx.registry.remove(live);
  live.releaseName();
  ctx.execs.removed(id);
  for (const late of live.late) late.end();
  containerEvent(ctx, live.container, 'destroy');
  const status = { code: state.exitCode, oomKilled: state.oomKilled, finishedAt: state.finishedAt };
  for (const told of [...live.removals, ...live.exits]) told(status);
  live.removals.clear();
  live.exits.clear();
}

/** Whatever a run may have left: process, stack. Idempotent. */
export async function forgetRuns(ctx: Context, id: Id): Promise<void> {
  await ctx.runtime.remove(id);
  await removeStack(ctx, id);
}
