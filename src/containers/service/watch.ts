/** Waiting for the end of containers' processes, and for restarts. */
import type { Context } from './context.ts';
import type { Live, Run } from './registry.ts';
import { saveIfPossible, setState } from './state.ts';

/** Waits for the end in the background. */
export function watchExit(ctx: Context, live: Live, run: Run): void {
  const signal = AbortSignal.any([run.watch.signal, ctx.stopping]);
  const { id, name } = live.container;
  ctx.later(
    `handle the end of container ${name}`,
    ctx.runtime.exited(id, signal).then(
      (status) => {
        if (!signal.aborted) ctx.later(`clear away container ${name}`, ctx.ended(live, { run, status }));
      },
      (error: unknown) => {
        if (!signal.aborted) ctx.logger.error({ err: error, container: id }, `cannot wait for the end of container ${name}`);
      },
    ),
  );
}

/** Calls a waiting restart off. @returns whether there was one */
export async function cancelRestart(ctx: Context, live: Live): Promise<boolean> {
  if (live.pause === null) return false;
  live.pause.abort();
  live.pause = null;
  setState(live, { status: 'exited' });
  await saveIfPossible(ctx, live);
  return true;
}
