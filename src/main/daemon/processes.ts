/** The port `Processes` over pidfds. */
import { readFileSync } from 'node:fs';
import { MoorError } from '../../base/errors.ts';
import type { Processes } from '../../contracts/process.ts';
import type { ProcessRef } from '../../model/sandbox.ts';
import { openPid, pidExit, signalPid } from '../../sys/process.ts';
import type { Fd } from '../../sys/fd.ts';

/** Fields of /proc/PID/stat after the command, which is in brackets and may hold anything (proc(5)): state is the 3rd field of all. */
function stat(pid: number): { readonly state: string; readonly startTime: string } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', startTime: fields[22 - 3] ?? '' };
  } catch {
    return null;
  }
}

function alive({ pid, startTime }: ProcessRef): boolean {
  const now = stat(pid);
  return now !== null && now.startTime === startTime && now.state !== 'Z' && now.state !== 'X';
}

/** A pidfd of exactly this process, or null: the number may have a new owner between a look and the opening, so look after it. */
function open(process: ProcessRef): Fd | null {
  try {
    const fd = openPid(process.pid);
    if (alive(process)) return fd;
    fd.close();
    return null;
  } catch (error) {
    if (error instanceof MoorError && error.kind === 'not-found') return null;
    throw error;
  }
}

async function ended(process: ProcessRef, signal: AbortSignal): Promise<void> {
  const fd = open(process);
  if (fd === null) return;
  try {
    await pidExit(fd, signal);
  } finally {
    fd.close();
  }
}

async function stop(process: ProcessRef, graceMs: number): Promise<void> {
  const fd = open(process);
  if (fd === null) return;
  try {
    signalPid(fd, 'SIGTERM');
    try {
      await pidExit(fd, AbortSignal.timeout(graceMs));
      return;
    } catch (error) {
      if (!(error instanceof MoorError) || error.kind !== 'cancelled') throw error;
    }
    signalPid(fd, 'SIGKILL');
    await pidExit(fd);
  } finally {
    fd.close();
  }
}

export const processes: Processes = { alive, ended, stop };
