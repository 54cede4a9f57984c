/** The OCI runtime's own commands, for what is seldom. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Id } from '../../base/ids.ts';
import { MoorError } from '../../base/errors.ts';
import { fcntlH } from '../../sys/constants.ts';
import { hasCode } from '../../sys/errors.ts';
import { type Fd, openFile } from '../../sys/fd.ts';
import { watchReadable } from '../../sys/poll.ts';
import { openPid, pidExit } from '../../sys/process.ts';
import { runtimeFailure } from './monitor.ts';

export interface RuncOptions {
  readonly program: string;
  readonly root: string;
}

/**
 * Runs `runc --root ROOT COMMAND...`.
 * @param input for its standard input
 * @returns standard output
 * @throws internal with what it printed
 */
export async function runc({ program, root }: RuncOptions, command: readonly string[], input = ''): Promise<string> {
  const child = spawn(program, ['--root', root, ...command], { stdio: ['pipe', 'pipe', 'pipe'] });
  let [output, error] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (error += chunk));
  child.stdin.on('error', () => {}); // it ended without reading; its exit code tells
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === 0) return output;
  throw new MoorError('internal', `OCI runtime ${command[0] ?? ''} failed: ${lastLine(error)}: unknown`);
}

/** runc prints its log and then the reason. */
const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

/**
 * Lets a created container's process go. That process waits until somebody opens its FIFO: `runc start` does no more than that, and takes 7 ms
 * and more to load.
 * @throws conflict when it is not waiting (any more)
 */
export async function releaseInit({ program, root }: RuncOptions, container: Id, pid: number): Promise<void> {
  const path = join(root, container, 'exec.fifo');
  const ended = (): Error => new MoorError('conflict', `Cannot start container ${container}: its process has ended`);
  using process = openPidIfThere(pid);
  if (process === null) throw ended();
  using fifo = openIfThere(path);
  if (fifo === null) {
    // Another runtime than runc, or one that works otherwise.
    try {
      await runc({ program, root }, ['start', container]);
      return;
    } catch (error) {
      throw runtimeFailure('start', error instanceof Error ? error.message : String(error));
    }
  }
  const abort = new AbortController();
  const { promise: readable, resolve } = Promise.withResolvers<void>();
  using _watch = watchReadable(fifo, resolve);
  await Promise.race([readable, pidExit(process, abort.signal).catch(() => {})]);
  abort.abort();
  // It writes a byte and goes on; it may have ended by now.
  if (readSync(fifo.number, Buffer.alloc(1)) === 0) throw ended();
  // The FIFO is what tells `runc` that a container has not been started.
  unlinkSync(path);
}

function openPidIfThere(pid: number): Fd | null {
  try {
    return openPid(pid);
  } catch (error) {
    if (hasCode(error, 'ESRCH')) return null;
    throw error;
  }
}

function openIfThere(path: string): Fd | null {
  try {
    return openFile(path, fcntlH.O_RDONLY | fcntlH.O_NONBLOCK);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null;
    throw error;
  }
}
