/** SQLite's result codes as errors of ours that name the file and what to do. */
import { readFileSync, statSync } from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import { MoorError } from '../../base/errors.ts';

/** Primary result codes, https://sqlite.org/rescode.html */
const SQLITE = { BUSY: 5, READONLY: 8, IOERR: 10, CORRUPT: 11, FULL: 13, CANTOPEN: 14, NOTADB: 26 } as const;

/** First byte that SQLite locks (PENDING_BYTE, os.h), beyond the pages that anybody else would lock. */
const PENDING_BYTE = 0x40000000;

/** @returns SQLite's primary result code, or null for another error. */
function resultCode(error: unknown): number | null {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return null;
  return error.errcode & 0xff;
}

/** @param action what failed, in words: `open`, `write`. */
export function storeFault(action: string, file: string, error: unknown): MoorError {
  if (error instanceof MoorError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const what = `cannot ${action} the store ${file}`;
  switch (resultCode(error)) {
    case SQLITE.BUSY:
      return new MoorError('conflict', `${what}: ${holder(file)} holds it`, { cause: error });
    case SQLITE.FULL:
      return new MoorError('exhausted', `${what}: no space left on its file system`, { cause: error });
    case SQLITE.CORRUPT:
    case SQLITE.NOTADB:
      return damaged(file, text, error);
    case SQLITE.READONLY:
    case SQLITE.CANTOPEN:
    case SQLITE.IOERR:
      return new MoorError('unavailable', `${what}: ${text}`, { cause: error });
    case null: {
      // A file's: a read-only file system, a folder that is not ours.
      const errno = error instanceof Error && 'errno' in error ? Number(error.errno) : 0;
      if (errno < 0) return new MoorError('unavailable', `${what}: ${getSystemErrorMessage(errno)}`, { cause: error });
      return new MoorError('internal', `${what}: ${text}`, { cause: error });
    }
    default:
      return new MoorError('internal', `${what}: ${text}`, { cause: error });
  }
}

/** Never repaired or replaced by itself: it is the only record of what exists. */
export function damaged(file: string, detail: string, cause?: unknown): MoorError {
  const advice = `put back a copy of it, or move it and ${file}-wal away to begin with an empty store`;
  return new MoorError('unavailable', `cannot open the store ${file}: it is damaged (${detail}); ${advice}`, { cause });
}

/**
 * The process whose lock keeps us out. fcntl(2) locks carry no message, but /proc/locks (proc_locks(5)) lists
 * `<n>: POSIX ADVISORY WRITE <pid> <major>:<minor>:<inode> <start> <end>`; the pid is 0 or -1 for another pid namespace.
 */
function holder(file: string): string {
  try {
    const inode = String(statSync(file, { bigint: true }).ino);
    for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
      const [, , , , pid = '0', place = '', start = '0'] = line.replace(/->\s*/, '').trim().split(/\s+/);
      if (place.split(':')[2] !== inode || Number(start) < PENDING_BYTE || Number(pid) <= 0) continue;
      return `process ${pid} (${commandOf(pid)})`;
    }
  } catch {
    // No /proc: the answer is less helpful, not wrong.
  }
  return 'another process';
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim().slice(0, 200);
  } catch {
    return 'unknown';
  }
}
