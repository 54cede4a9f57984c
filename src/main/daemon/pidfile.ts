/** One daemon per pidfile. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { MoorError } from '../../base/errors.ts';

/**
 * Writes our pid, after looking whether another daemon holds the file.
 * @returns removes the file again
 * @throws conflict with Docker's text when the process named in the file runs and is a daemon of ours
 */
export function takePidfile(path: string): Disposable {
  const holder = readPid(path);
  if (holder !== null && holder !== process.pid && isDaemon(holder)) {
    throw new MoorError('conflict', `ensure moord is not running or delete ${path}: process with PID ${holder} is still running`);
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, String(process.pid), { mode: 0o644 });
  return {
    [Symbol.dispose]: () => {
      if (readPid(path) === process.pid) rmSync(path, { force: true });
    },
  };
}

function readPid(path: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(path, 'utf8').trim(), 10);
    return Number.isSafeInteger(pid) && pid > 0 ? pid : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new MoorError('unavailable', `Cannot read pidfile ${path}: ${(error as Error).message}`);
  }
}

/** Pids are used again, above all after a reboot: what runs under that number now may be something else. */
function isDaemon(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('moord');
  } catch {
    return false;
  }
}
