/** The end of a container's process: what it leaves is cleared away, and its restart policy is asked. */
import { setTimeout as sleep } from 'node:timers/promises';
import { errorData } from '../../base/errors.ts';
import type { Context, Ended } from './context.ts';
import { containerEvent, mountEvents } from './events.ts';
import { attachmentsOf } from './attachments.ts';
import type { Live } from './registry.ts';
import { removeContainer } from './remove.ts';
import { shouldRestart, nextDelay } from './restart-policy.ts';
import { removeStack } from './stack.ts';
import { launch } from './start.ts';
import { saveIfPossible, setState } from './state.ts';
import { attempt } from './undo.ts';

export async function handleExit(ctx: Context, live: Live, { run, status }: Ended): Promise<void> {
  let remove: boolean;
  {
    using _lock = await ctx.locks.hold(live.container.id);
    if (live.run !== run) return;
    // Now: whoever waits for the end goes on before this does.
    remove = live.container.hostConfig.AutoRemove && !live.keep && !live.removing;
    await clearAway(ctx, live, { run, status });
  }
  if (!remove) return;
  await attempt(ctx.logger, `remove container ${live.container.name}`, () =>
    removeContainer(ctx, live.container.id, { force: true, volumes: true }),
  );
}

/** The container's lock is held. */
async function clearAway(ctx: Context, live: Live, { run, status }: Ended): Promise<void> {
  const { id } = live.container;
  const lasted = Date.parse(status.finishedAt) - Date.parse(live.container.state.startedAt);
  const again = !live.keep && !live.removing && shouldRestart(live.container, status.code);
  live.container = { ...live.container, networks: attachmentsOf(ctx, live.container) };
  if (again) {
    live.delay = nextDelay(live.delay, lasted, ctx.times);
    live.container = { ...live.container, restartCount: live.container.restartCount + 1 };
  }
  setState(live, {
    status: again ? 'restarting' : 'exited',
    process: null,
    exitCode: status.code,
    oomKilled: status.oomKilled,
    finishedAt: status.finishedAt,
  });
  // Before the runtime forgets it: a crash in between must not lose the exit code.
  await Promise.all([
    saveIfPossible(ctx, live).then(() => attempt(ctx.logger, 'remove the process', () => ctx.runtime.remove(id))),
    attempt(ctx.logger, 'remove the network stack', () => removeStack(ctx, id)),
  ]);
  await attempt(ctx.logger, 'unmount the root', () => ctx.roots.release(id));
  ctx.execs.ended(id);
  live.run = null;
  mountEvents(ctx, live.container, 'unmount');
  if (status.oomKilled) containerEvent(ctx, live.container, 'oom');
  const seconds = String(Math.max(0, Math.floor(lasted / 1000)));
  containerEvent(ctx, live.container, ['die', { exitCode: String(status.code), execDuration: seconds }]);
  run.finish(status);
  for (const told of live.exits) told(status);
  live.exits.clear();
  if (again) scheduleRestart(ctx, live);
}

/** Starts it again after its wait, unless somebody calls that off. */
export function scheduleRestart(ctx: Context, live: Live): void {
  const pause = new AbortController();
  live.pause = pause;
  ctx.later(`restart container ${live.container.name}`, restartAfter(ctx, live, pause));
}

async function restartAfter(ctx: Context, live: Live, pause: AbortController): Promise<void> {
  try {
    await sleep(live.delay, undefined, { signal: AbortSignal.any([pause.signal, ctx.stopping]) });
  } catch {
    return; // called off
  }
  using _lock = await ctx.locks.hold(live.container.id);
  if (pause.signal.aborted || ctx.stopping.aborted || live.pause !== pause) return;
  live.pause = null;
  try {
    await launch(ctx, live);
  } catch (error) {
    // As Docker: a start that fails ends the restarts.
    setState(live, { status: 'exited' });
    await saveIfPossible(ctx, live);
    ctx.logger.warn(
      { container: live.container.id, error: errorData(error) },
      `could not restart container ${live.container.name}`,
    );
  }
}
