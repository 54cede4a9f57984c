/** `docker exec`: another process in a running container. */
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { conflict, invalid } from '../../base/errors.ts';
import { type Id, newId } from '../../base/ids.ts';
import type { ExecRequest, ExecState, Streams } from '../../contracts/containers.ts';
import type { Context } from './context.ts';
import { containerEvent } from './events.ts';
import type { Exec } from './exec-registry.ts';
import { NOT_RUNNABLE, startFailure } from './start-error.ts';
import { assertRunning } from './stop.ts';

/** @throws conflict when the container does not run, invalid */
export async function createExec(ctx: Context, reference: string, asked: Omit<ExecRequest, 'id' | 'container'>): Promise<Id> {
  const live = ctx.registry.find(reference);
  const { container } = live;
  if (asked.command.length === 0 || asked.command[0] === '') throw invalid('No exec command specified');
  assertRunning(live);
  if (container.state.status === 'paused') {
    throw conflict(`Container ${container.name} is paused, unpause the container before exec`);
  }
  if (asked.workingDir !== '' && !asked.workingDir.startsWith('/')) {
    throw invalid(`Cwd must be an absolute path: ${asked.workingDir.slice(0, 64)}`);
  }
  const id = newId();
  const user = asked.user === '' ? container.config.User : asked.user;
  const exec = ctx.execs.add({ ...asked, user, id, container });
  tell(ctx, exec, 'exec_create');
  return id;
}

export function execState(ctx: Context, id: string): ExecState {
  const { request, state, exitCode, process } = ctx.execs.get(id);
  return { request, running: state === 'running', exitCode, pid: process?.pid ?? 0 };
}

/** @throws conflict with Docker's texts when it was started before; what the runtime says, then the exit code says so too */
export async function startExec(ctx: Context, id: string, admitted: () => void = () => {}): Promise<Streams> {
  const exec = ctx.execs.get(id);
  if (exec.state === 'ended') throw conflict(`Error: Exec command ${exec.request.id} has already run`);
  if (exec.state !== 'created') throw conflict(`Error: Exec command ${exec.request.id} is already running`);
  const { container } = exec.request;
  const live = ctx.registry.find(container.id);
  assertRunning(live);
  if (live.container.state.status === 'paused') {
    throw conflict(`Container ${container.name} is paused, unpause the container before exec`);
  }
  exec.state = 'starting';
  admitted();
  try {
    exec.process = await ctx.runtime.exec({ ...exec.request, container: live.container });
    exec.state = 'running';
    const streams = await ctx.runtime.attach(container.id, exec.request.id);
    tell(ctx, exec, 'exec_start');
    return endingWith(streams, watchExec(ctx, exec));
  } catch (cause) {
    const { exitCode, error } = startFailure(cause, NOT_RUNNABLE);
    ctx.execs.finish(exec, exitCode);
    throw error;
  }
}

/** How long the end of the output is held back for that of the process, in milliseconds: one that goes on without output is not waited for. */
const HELD_BACK = 1000;

/** Streams that end after the process: clients ask for its exit code as soon as the output has ended. */
function endingWith(streams: Streams, done: Promise<void>): Streams {
  const held = (source: Readable): Readable => {
    const through = new Transform({
      transform: (chunk: Buffer, _encoding, pass) => pass(null, chunk),
      flush: (pass) => {
        const timer = Promise.withResolvers<void>();
        const waiting = setTimeout(timer.resolve, HELD_BACK);
        void Promise.race([done, timer.promise]).then(() => {
          clearTimeout(waiting);
          pass();
        });
      },
    });
    // A client that goes closes the source under it, which is no error of anybody.
    through.on('error', () => {});
    pipeline(source, through).catch(() => {});
    return through;
  };
  return { ...streams, stdout: held(streams.stdout), stderr: held(streams.stderr) };
}

/** Exit code of an exec that went with its container, by SIGKILL. */
const KILLED = 137;

/** @returns resolved when the end was noted, or the daemon ends */
async function watchExec(ctx: Context, exec: Exec): Promise<void> {
  const { id, container } = exec.request;
  let code: number;
  try {
    ({ code } = await ctx.runtime.execExited(container.id, id, ctx.stopping));
  } catch (error) {
    if (!ctx.stopping.aborted) ctx.logger.debug({ err: error, exec: id }, 'an exec ended with its container');
    code = KILLED;
  }
  if (ctx.stopping.aborted) return;
  ctx.execs.finish(exec, code);
  const live = ctx.registry.get(container.id);
  if (live !== undefined) containerEvent(ctx, live.container, ['exec_die', { execID: id, exitCode: String(code) }]);
  ctx.later(`forget exec ${id}`, ctx.runtime.removeExec(container.id, id));
}

/** Docker's action says the command. */
function tell(ctx: Context, { request: { id, container, command } }: Exec, action: 'exec_create' | 'exec_start'): void {
  containerEvent(ctx, ctx.registry.get(container.id)?.container ?? container, [
    `${action}: ${command.join(' ')}`,
    { execID: id },
  ]);
}
