/** Health checks: a command run in the container again and again. Docker's rules (its health monitor). */
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorData } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { HealthConfig, HealthState } from '../../model/container.ts';
import type { Context } from './context.ts';
import { containerEvent } from './events.ts';
import type { Live, Run } from './registry.ts';
import { isoNow, saveIfPossible, setState } from './state.ts';

/** Docker's defaults; nanoseconds as in the configuration, milliseconds here. */
const INTERVAL = 30_000;
const TIMEOUT = 30_000;
const START_INTERVAL = 5_000;
const RETRIES = 3;
const KEPT_RESULTS = 5;
/** bytes of a probe's output */
const KEPT_OUTPUT = 4096;
/** Exit code of a probe that has none. */
const NO_STATUS = -1;

/** The command of a check; null when there is none. */
export function probeCommand({ Test }: HealthConfig): readonly string[] | null {
  const [kind, ...words] = Test ?? [];
  if (kind === 'CMD') return words;
  if (kind === 'CMD-SHELL') return ['/bin/sh', '-c', words.join(' ')];
  return null;
}

/** Begins the checks of a container that starts. @returns its first state; null when it has no check */
export function watchHealth(ctx: Context, live: Live, run: Run): HealthState | null {
  const config = live.container.config.Healthcheck;
  const command = config === undefined ? null : probeCommand(config);
  if (config === undefined || command === null) return null;
  ctx.later(`check the health of container ${live.container.name}`, monitor(ctx, live, { run, config, command }));
  return { status: 'starting', failingStreak: 0, log: [] };
}

/** Goes on with the checks of a container that an earlier daemon started. */
export function resumeHealth(ctx: Context, live: Live, run: Run): void {
  const before = live.container.state.health;
  const first = watchHealth(ctx, live, run);
  setState(live, { health: before ?? first });
}

interface Check {
  readonly run: Run;
  readonly config: HealthConfig;
  readonly command: readonly string[];
}

const milliseconds = (nanoseconds: number | undefined, fallback: number): number =>
  nanoseconds === undefined || nanoseconds === 0 ? fallback : nanoseconds / 1e6;

async function monitor(ctx: Context, live: Live, check: Check): Promise<void> {
  const { run, config } = check;
  const signal = AbortSignal.any([run.ended.signal, ctx.stopping]);
  for (;;) {
    const starting = (live.container.state.health?.status ?? 'starting') === 'starting' && inStartPeriod(ctx, check);
    const wait = starting ? milliseconds(config.StartInterval, START_INTERVAL) : milliseconds(config.Interval, INTERVAL);
    try {
      await sleep(wait, undefined, { signal });
    } catch {
      return; // the container has ended, or the daemon does
    }
    // Docker freezes its probes with the container: one that is paused is not asked.
    if (live.container.state.status === 'paused') continue;
    const start = isoNow(ctx);
    const young = inStartPeriod(ctx, check);
    const result = await probe(ctx, live, check);
    if (signal.aborted || live.run !== run) return;
    const entry = { start, end: isoNow(ctx), ...result };
    await note(ctx, live, { entry, young, retries: config.Retries || RETRIES });
  }
}

const inStartPeriod = (ctx: Context, { run, config }: Check): boolean =>
  ctx.clock.now() - run.started < milliseconds(config.StartPeriod, 0);

interface Noted {
  readonly entry: HealthState['log'][number];
  readonly young: boolean;
  readonly retries: number;
}

/** The state after a probe. Pure. */
export function nextHealth(before: HealthState, { entry, young, retries }: Noted): HealthState {
  const log = [...before.log, entry].slice(-KEPT_RESULTS);
  if (entry.exitCode === 0) return { status: 'healthy', failingStreak: 0, log };
  // While it starts and never was healthy, failures do not count.
  if (before.status === 'starting' && young) return { ...before, log };
  const failingStreak = before.failingStreak + 1;
  return { status: failingStreak >= retries ? 'unhealthy' : before.status, failingStreak, log };
}

async function note(ctx: Context, live: Live, noted: Noted): Promise<void> {
  const before = live.container.state.health;
  if (before === null) return;
  const after = nextHealth(before, noted);
  setState(live, { health: after });
  if (after.status === before.status) return;
  containerEvent(ctx, live.container, `health_status: ${after.status}`);
  // Only what changed is worth a write.
  using _lock = await ctx.locks.hold(live.container.id);
  if (live.run !== null) await saveIfPossible(ctx, live);
}

interface ProbeResult {
  readonly exitCode: number;
  readonly output: string;
}

async function probe(ctx: Context, live: Live, { config, command }: Check): Promise<ProbeResult> {
  const { container } = live;
  const timeout = milliseconds(config.Timeout, TIMEOUT);
  const request = {
    id: newId(),
    container,
    command,
    env: [],
    user: container.config.User,
    workingDir: '',
    tty: false,
    stdin: false,
    privileged: false,
  };
  const limit = AbortSignal.any([AbortSignal.timeout(timeout), ctx.stopping]);
  try {
    const process = await ctx.runtime.exec(request);
    const streams = await ctx.runtime.attach(container.id, request.id);
    const output = collect([streams.stdout, streams.stderr]);
    try {
      const { code } = await ctx.runtime.execExited(container.id, request.id, limit);
      if (limit.aborted) throw limit.reason;
      return { exitCode: code, output: await output };
    } catch (error) {
      if (!limit.aborted) throw error;
      await ctx.processes.stop(process, 0);
      return { exitCode: NO_STATUS, output: `Health check exceeded timeout (${timeout / 1000}s)` };
    } finally {
      streams.close();
      ctx.later('forget a probe', ctx.runtime.removeExec(container.id, request.id));
    }
  } catch (error) {
    return { exitCode: NO_STATUS, output: errorData(error).message };
  }
}

/** The beginning of what a probe writes. It must be read to the end, or the probe would hang. */
async function collect(streams: readonly Readable[]): Promise<string> {
  let text = '';
  await Promise.all(
    streams.map(
      (stream) =>
        new Promise<void>((resolve) => {
          stream.on('data', (chunk: Buffer) => {
            if (text.length < KEPT_OUTPUT) text = (text + chunk.toString('utf8')).slice(0, KEPT_OUTPUT);
          });
          stream
            .once('close', resolve)
            .once('end', resolve)
            .once('error', () => resolve());
        }),
    ),
  );
  return text;
}
