/** Signals to containers: stop, kill, restart, pause. */
import { conflict } from '../../base/errors.ts';
import type { Context } from './context.ts';
import { containerEvent } from './events.ts';
import { isUp, type Live } from './registry.ts';
import { ignoreGone, killAndWait } from './remove.ts';
import { parseSignal } from './signals.ts';
import { startContainer } from './start.ts';
import { save, setState } from './state.ts';
import { cancelRestart } from './watch.ts';

/** seconds; Docker's */
const STOP_TIMEOUT = 10;

export interface StopOptions {
  /** Seconds before SIGKILL, negative: never; null: the container's own. */
  readonly timeout: number | null;
  readonly signal?: string;
}

/** @returns false when it was not running */
export async function stopContainer(ctx: Context, reference: string, options: StopOptions): Promise<boolean> {
  const live = ctx.registry.find(reference);
  const { config } = live.container;
  const signal = parseSignal(options.signal ?? config.StopSignal ?? 'SIGTERM');
  const seconds = options.timeout ?? config.StopTimeout ?? STOP_TIMEOUT;
  const run = await beginStop(ctx, live, signal);
  if (run === null) return false;
  if (run !== 'waiting' && !(await endsWithin(run.done, seconds))) {
    containerEvent(ctx, live.container, ['kill', { signal: '9' }]);
    await killAndWait(ctx, live);
  }
  containerEvent(ctx, live.container, 'stop');
  return true;
}

/** Marks it as stopped by the user and sends the signal. @returns null: it does not run; `waiting`: it was about to be restarted */
async function beginStop(ctx: Context, live: Live, signal: number): Promise<Live['run'] | 'waiting'> {
  using _lock = await ctx.locks.hold(live.container.id);
  if (isUp(live.container.state) || live.pause !== null) live.container = { ...live.container, stoppedByUser: true };
  if (await cancelRestart(ctx, live)) return 'waiting';
  const { run } = live;
  if (run === null || !isUp(live.container.state)) return null;
  await deliver(ctx, live, signal);
  return run;
}

/** `false` when the time is over. */
async function endsWithin(done: Promise<unknown>, seconds: number): Promise<boolean> {
  if (seconds < 0) {
    await done;
    return true;
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000, false);
  });
  const first = await Promise.race([done.then(() => true), late]);
  clearTimeout(timer);
  return first;
}

/** The container's lock is held. A frozen process is woken, or it would not take the signal. */
async function deliver(ctx: Context, live: Live, signal: number): Promise<void> {
  const { container } = live;
  await ignoreGone(() => ctx.runtime.kill(container.id, signal));
  if (container.state.status === 'paused') {
    await ignoreGone(() => ctx.runtime.resume(container.id));
    setState(live, { status: 'running' });
  }
  containerEvent(ctx, container, ['kill', { signal: String(signal) }]);
}

const SIGKILL = 9;

/** @throws conflict when it does not run, invalid for a bad signal */
export async function killContainer(ctx: Context, reference: string, text: string): Promise<void> {
  const signal = parseSignal(text === '' ? 'SIGKILL' : text);
  const live = ctx.registry.find(reference);
  const { id, name, config } = live.container;
  // A signal that is to end it calls restarts off. (Docker takes any signal for one unless StopSignal is set; a reload by HUP is none.)
  const ends = signal === SIGKILL || parseSignal(config.StopSignal ?? 'SIGTERM') === signal;
  {
    using _lock = await ctx.locks.hold(id);
    if (live.pause === null && !isUp(live.container.state)) {
      throw conflict(`cannot kill container: ${name}: container ${id} is not running`);
    }
    if (ends) live.container = { ...live.container, stoppedByUser: true };
    if (live.pause !== null) {
      if (ends) await cancelRestart(ctx, live);
      return;
    }
    await deliver(ctx, live, signal);
  }
  if (signal === SIGKILL) await killAndWait(ctx, live);
}

export async function restartContainer(ctx: Context, reference: string, options: StopOptions): Promise<void> {
  const live = ctx.registry.find(reference);
  live.keep = true;
  try {
    await stopContainer(ctx, live.container.id, options);
  } finally {
    live.keep = false;
  }
  await startContainer(ctx, live.container.id);
  containerEvent(ctx, live.container, 'restart');
}

export async function pauseContainer(ctx: Context, reference: string): Promise<void> {
  const { id } = ctx.registry.find(reference).container;
  using _lock = await ctx.locks.hold(id);
  const live = ctx.registry.find(id);
  if (live.container.state.status === 'paused') throw conflict(`Container ${id} is already paused`);
  assertRunning(live);
  await ctx.runtime.pause(id);
  setState(live, { status: 'paused' });
  await save(ctx, live);
  containerEvent(ctx, live.container, 'pause');
}

export async function unpauseContainer(ctx: Context, reference: string): Promise<void> {
  const { id } = ctx.registry.find(reference).container;
  using _lock = await ctx.locks.hold(id);
  const live = ctx.registry.find(id);
  if (live.container.state.status !== 'paused') throw conflict(`Container ${id} is not paused`);
  await ctx.runtime.resume(id);
  setState(live, { status: 'running' });
  await save(ctx, live);
  containerEvent(ctx, live.container, 'unpause');
}

/** @throws conflict with Docker's texts */
export function assertRunning({ container: { id, state } }: Live): void {
  if (state.status === 'restarting') throw conflict(`Container ${id} is restarting, wait until the container is running`);
  if (!isUp(state)) throw conflict(`container ${id} is not running`);
}
