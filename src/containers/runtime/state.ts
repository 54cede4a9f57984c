/** What is known of a monitored process besides conmon's own files: kept on disk, so that a daemon that starts later can go on. */
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isId } from '../../base/ids.ts';
import type { Id } from '../../base/ids.ts';
import type { ProcessRef } from '../../model/sandbox.ts';
import type { MonitorPaths } from './paths.ts';
import type { OciProcess } from './oci.ts';
import { CGROUP_PARENT } from './spec.ts';

export interface ProcessState {
  readonly tty: boolean;
  readonly stdin: boolean;
  /** The end of what is typed is an end for the process. */
  readonly once: boolean;
  readonly process: OciProcess;
}

export function writeState(paths: MonitorPaths, state: ProcessState): void {
  const temporary = `${paths.state}.new`;
  writeFileSync(temporary, JSON.stringify(state), { mode: 0o600 });
  renameSync(temporary, paths.state);
}

/** null when there is no such process */
export function readState(paths: MonitorPaths): ProcessState | null {
  const text = readIfThere(paths.state);
  return text === null ? null : (JSON.parse(text) as ProcessState);
}

/** A pid that conmon wrote; null when it did not. */
export function readPid(path: string): number | null {
  const pid = Number(readIfThere(path) ?? '');
  return Number.isSafeInteger(pid) && pid > 0 ? pid : null;
}

/** Field 22 of /proc/PID/stat; the command, in brackets before it, may hold anything. proc_pid_stat(5). null: no such process */
export function startTime(pid: number): string | null {
  const text = readIfThere(`/proc/${pid}/stat`);
  return text === null ? null : (text.slice(text.lastIndexOf(')') + 2).split(' ')[22 - 3] ?? null);
}

export const processRef = (pid: number, command: readonly string[]): ProcessRef => ({
  pid,
  startTime: startTime(pid) ?? '0',
  command,
});

/** Is this process the conmon that works in this directory? Numbers are used again. */
export function isMonitor(pid: number, paths: MonitorPaths): boolean {
  const words = (readIfThere(`/proc/${pid}/cmdline`) ?? '').split('\0');
  return words.includes(`--bundle=${paths.directory}`);
}

/**
 * The conmon that works in this directory, null when none does: by the number that it wrote, or, as long as it has not, by its command line.
 * A daemon that was killed may have left one that has only just begun.
 */
export function findMonitor(paths: MonitorPaths): number | null {
  const written = readPid(paths.monitorPid);
  if (written !== null) return isMonitor(written, paths) ? written : null;
  if (readIfThere(paths.state) === null) return null; // it is written before any conmon is started
  return (
    namesIn('/proc')
      .map(Number)
      .find((pid) => pid > 0 && isMonitor(pid, paths)) ?? null
  );
}

/** Is this a process of the container? Numbers are used again; a cgroup is nobody else's. */
export const inContainer = (pid: number, container: Id): boolean =>
  readIfThere(`/proc/${pid}/cgroup`)?.includes(`${CGROUP_PARENT}/${container}`) ?? false;

/** Names in a directory that are ids. */
export function idsIn(directory: string): readonly Id[] {
  return namesIn(directory).filter(isId);
}

export function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isNoEntry(error)) return [];
    throw error;
  }
}

export function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isNoEntry(error)) return null;
    throw error;
  }
}

const isNoEntry = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH' || error.code === 'ENOTDIR');
