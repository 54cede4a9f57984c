/** Directories that are named to the daemon. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { MoorError } from '../../base/errors.ts';

/**
 * Makes a directory, and those above it that are missing. Not with `recursive`: in Node 26 that tries for ever where the kernel answers ENOENT although
 * the parent is there, as it does below /proc and in a directory that was removed.
 * @param mode of each that is made, less the umask
 * @throws unavailable with the path and why
 */
export function makeDirectory(path: string, mode: number): void {
  const missing: string[] = [];
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.unshift(at);
  try {
    for (const one of missing) make(one, mode);
    if (statSync(path).isDirectory()) return;
  } catch (cause) {
    const { errno } = cause as NodeJS.ErrnoException;
    const why = errno === undefined ? String(cause) : getSystemErrorMessage(errno);
    throw new MoorError('unavailable', `Cannot make directory ${path}: ${why}`, { cause });
  }
  throw new MoorError('unavailable', `Cannot make directory ${path}: it is there, and is none`);
}

/** Somebody else may be quicker; whether it is a directory is seen later. */
function make(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
