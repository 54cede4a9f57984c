/** Starting the command of `moor run` and `moor exec`. koffi is loaded only here, when a sandbox is entered or left for good. */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { errorData, MoorError } from '../../base/errors.ts';
import { CommandError, type CommandLine, type ProcessPort, type Running } from '../../cli/ports.ts';
import { forwardSignals } from './signals.ts';
import { asUser, findUser } from './user.ts';

export const processes: ProcessPort = {
  self: async () => ({ pid: process.pid, startTime: startTimeOf(process.pid) }),
  enter: async ({ netns, files, hostname }) => {
    const { enterSandbox } = await import('../../sys/sandbox.ts');
    try {
      enterSandbox({ netns, files, ...(hostname === undefined ? {} : { hostname }) });
    } catch (cause) {
      const { kind, message } = errorData(cause);
      // The socket may be open to a group; namespaces are not.
      if (kind === 'forbidden')
        throw new MoorError('forbidden', `Cannot enter the sandbox: that takes root's rights (${message})`, { cause });
      throw cause;
    }
  },
  start: async (line) => {
    const child = await launch(line, { stdio: 'inherit' });
    const stop = forwardSignals(child);
    child.once('exit', stop);
    return running(child);
  },
  startDetached: async (line, log) => {
    const output = openLog(log);
    const child = await launch(line, { stdio: ['ignore', output, output], detached: true });
    child.unref();
    return running(child);
  },
  replace: async (line) => {
    const { execInPlace } = await import('../../sys/process.ts');
    const { command, environment } = resolve(line);
    try {
      if (line.directory !== undefined) process.chdir(line.directory);
      return execInPlace(command, environment);
    } catch (error) {
      throw commandError(line, errorData(error).kernel?.code ?? (error as NodeJS.ErrnoException).code ?? '', error);
    }
  },
};

interface Resolved {
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
}

function resolve({ command, environment, directory, user }: CommandLine): Resolved {
  if (directory !== undefined) checkDirectory(directory);
  if (user === undefined) return { command, environment };
  const found = findUser(user);
  const account = found.name === null ? {} : { USER: found.name, LOGNAME: found.name };
  return { command: asUser(found, command), environment: { ...environment, HOME: found.home, ...account } };
}

/** libuv reports a missing directory as if it were the program that is missing. */
function checkDirectory(directory: string): void {
  const found = statSync(directory, { throwIfNoEntry: false });
  if (!found?.isDirectory())
    throw new CommandError(127, `Cannot run in ${directory}: ${found ? 'it is not a directory' : 'no such directory'}`);
}

/** @throws CommandError when it could not be started */
async function launch(line: CommandLine, options: SpawnOptions): Promise<ChildProcess & { readonly pid: number }> {
  const { command, environment } = resolve(line);
  const [program, ...args] = command;
  const child = spawn(program, args, {
    ...options,
    env: environment,
    ...(line.directory === undefined ? {} : { cwd: line.directory }),
  });
  const { pid } = child;
  if (pid !== undefined) return Object.assign(child, { pid });
  const [error] = (await once(child, 'error')) as [NodeJS.ErrnoException];
  throw commandError(line, error.code ?? '', error);
}

/** @param child just started: it is not reaped before the event loop turns, so its entry in /proc is there even when it has ended */
function running(child: ChildProcess & { readonly pid: number }): Running {
  const ended = new Promise<number>((done) => {
    child.once('exit', (code, signal) => done(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
  return { pid: child.pid, startTime: startTimeOf(child.pid), ended };
}

/** proc_pid_stat(5): the second field is a name in parentheses that may hold anything; field 22 is the start time. */
function startTimeOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[22 - 3] ?? '';
}

function openLog(path: string | undefined): number | 'ignore' {
  if (path === undefined) return 'ignore';
  try {
    return openSync(path, 'a', 0o644);
  } catch (cause) {
    throw new MoorError('invalid', `Cannot open ${path} for the command's output: ${(cause as Error).message}`, { cause });
  }
}

/** POSIX shells: 127 when there is no such program, 126 when it cannot be executed. */
function commandError(line: CommandLine, code: string, cause: unknown): Error {
  const [program] = line.command;
  if (code === 'ENOENT') return new CommandError(127, `Cannot run ${program}: no such program on PATH`);
  if (code === 'EACCES') return new CommandError(126, `Cannot run ${program}: permission denied`);
  return new CommandError(126, `Cannot run ${program}: ${cause instanceof Error ? cause.message : String(cause)}`);
}
