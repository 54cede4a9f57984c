/** Waiting for the end of a monitored process. */
import type { Logger } from '../../base/clock.ts';
import { MoorError, notFound } from '../../base/errors.ts';
import type { ExitStatus } from '../../contracts/containers.ts';
import { hasCode } from '../../sys/errors.ts';
import type { Fd } from '../../sys/fd.ts';
import { openPid, pidExit, signalPid } from '../../sys/process.ts';
import { readExit } from './monitor.ts';
import type { MonitorPaths } from './paths.ts';
import { inContainer, isMonitor, readPid } from './state.ts';

/** Docker's code for what was killed. */
const KILLED = 137;

/**
 * conmon writes the exit code down and then ends itself; its own end is what is waited for, so that neither a notification nor a crash of
 * conmon can be missed.
 * @throws cancelled by the signal; not-found when there is no such process
 */
export async function processEnd(paths: MonitorPaths, logger: Logger, signal: AbortSignal): Promise<ExitStatus> {
  const known = readExit(paths);
  if (known) return known;
  const monitor = readPid(paths.monitorPid);
  if (monitor === null) throw notFound(`Cannot wait for a process: nothing runs in ${paths.directory}`);
  using fd = openMonitor(monitor, paths);
  if (fd) await pidExit(fd, signal);
  return readExit(paths) ?? (await orphanEnd(paths, logger, signal));
}

/** A descriptor of the conmon that works in this directory, null when it has ended. */
export function openMonitor(pid: number, paths: MonitorPaths): Fd | null {
  const fd = openIfThere(pid);
  if (fd === null || isMonitor(pid, paths)) return fd;
  fd.close();
  return null;
}

/**
 * conmon itself was killed, so that nobody will ever know how the process ended. Its output goes nowhere and nobody can attach: it is ended,
 * as Docker does when its shim is lost.
 */
async function orphanEnd(paths: MonitorPaths, logger: Logger, signal: AbortSignal): Promise<ExitStatus> {
  const pid = readPid(paths.pid);
  using fd = pid === null ? null : openIfThere(pid);
  if (pid !== null && fd && inContainer(pid, paths.container)) {
    logger.warn({ pid, directory: paths.directory }, 'a monitor was lost: ending its process');
    signalPid(fd, 'SIGKILL');
    await pidExit(fd, signal);
  }
  return { code: KILLED, oomKilled: false, finishedAt: new Date().toISOString() };
}

function openIfThere(pid: number): Fd | null {
  try {
    return openPid(pid);
  } catch (error) {
    if (hasCode(error, 'ESRCH') || (error instanceof MoorError && error.kind === 'not-found')) return null;
    throw error;
  }
}
