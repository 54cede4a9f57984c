/** One daemon per pidfile. */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { conflict, MoorError } from '../../base/errors.ts';
import { makeDirectory } from './directory.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/**
 * Writes our pid, after looking whether another daemon holds the file. No link is followed, and nothing but a pidfile is replaced:
 * a name in a directory that others may write to must not lead us to a file of the system's.
 * @returns removes the file again
 * @throws conflict with Docker's text when the process named in the file runs and is a daemon of ours; conflict for what is no pidfile
 */
export function takePidfile(path: string): Disposable {
  const holder = readPid(path);
  if (holder !== null && holder !== process.pid && isDaemon(holder)) {
    throw new MoorError('conflict', `ensure moord is not running or delete ${path}: process with PID ${holder} is still running`);
  }
  makeDirectory(dirname(path), 0o755);
  rmSync(path, { force: true });
  create(path);
  return {
    [Symbol.dispose]: () => {
      if (isOurs(path)) rmSync(path, { force: true });
    },
  };
}

/** Somebody who was quicker than we, with a daemon or with a link, has it. */
function create(path: string): void {
  try {
    const file = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644);
    try {
      writeSync(file, String(process.pid));
    } finally {
      closeSync(file);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw conflict(`ensure moord is not running or delete ${path}: another process has just made it`);
    throw new MoorError('unavailable', `Cannot write pidfile ${path}: ${message}`);
  }
}

/** At the end, when whatever has become of the file is no reason to fail. */
function isOurs(path: string): boolean {
  try {
    return readPid(path) === process.pid;
  } catch {
    return false;
  }
}

/** bytes; a pid has ten digits at most */
const LONGEST = 32;

/** null when there is no file, or an empty one, as a crash in the middle leaves it. @throws conflict when it is something else */
function readPid(path: string): number | null {
  let file: number;
  try {
    // O_NONBLOCK: a FIFO must not hang us.
    file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    if (code === 'ELOOP') throw conflict(`Cannot use pidfile ${path}: it is a symbolic link`);
    throw new MoorError('unavailable', `Cannot read pidfile ${path}: ${message}`);
  }
  try {
    if (!fstatSync(file).isFile()) throw conflict(`Cannot use pidfile ${path}: it is not a regular file`);
    const bytes = Buffer.alloc(LONGEST);
    const text = bytes.toString('latin1', 0, readSync(file, bytes)).trim();
    if (text === '') return null;
    if (!/^[1-9]\d{0,9}$/.test(text)) throw conflict(`Cannot use pidfile ${path}: it holds something else than a pid`);
    return Number(text);
  } finally {
    closeSync(file);
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
