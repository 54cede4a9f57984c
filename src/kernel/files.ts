/** Whole files: written beside their place and renamed, so that nobody reads half of one. */
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { invalid } from '../base/errors.ts';
import type { Change } from '../contracts/change.ts';
import type { Applied } from '../contracts/kernel.ts';
import { ALREADY, CHANGED } from './failure.ts';
import { fileError } from './sysctl.ts';

type FileChange = Extract<Change, { kind: 'file' }>;

/** Mode when none is given. */
const MODE = 0o644;

/** @param roots directories that stay when they are empty */
export function applyFile(change: FileChange, roots: readonly string[]): Applied {
  const { path, value, mode = MODE } = change;
  if (!path.startsWith('/')) throw invalid('the path of a file must be absolute');
  try {
    const done = change.inPlace === true && value !== null ? overwrite(path, value, change) : null;
    if (done !== null) return done;
    const old = read(path);
    if (change.unlessEdited === true && old !== change.old) return ALREADY;
    // One daemon owns a path, and one thread writes: a name derived from the path is free, or left over from a crash.
    const temporary = `${path}.new`;
    if (value === null) {
      // Also when there is no such file: a crash may have left the one beside it, or a folder in which nothing had been written yet.
      rmSync(temporary, { force: true });
      if (old !== null) unlinkSync(path);
      removeEmpty(dirname(path), roots);
      return old === null ? ALREADY : CHANGED;
    }
    if (old === value && (statSync(path).mode & 0o7777) === mode) return ALREADY;
    try {
      // What is there already has its folder.
      if (old === null) mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
      writeFileSync(temporary, value);
      chmodSync(temporary, mode); // not `mode` of the open, which the umask cuts
      renameSync(temporary, path);
    } catch (error) {
      // A disk that is full lets us make a folder, or half a file.
      if (existsSync(temporary)) unlinkSync(temporary);
      removeEmpty(dirname(path), roots);
      throw error;
    }
    return CHANGED;
  } catch (error) {
    throw fileError(error, `write ${path}`);
  }
}

/** More than what is written in place nearly always has (bytes). */
const current = Buffer.alloc(16 << 10);

/**
 * Through one descriptor, and never shorter than both texts: who reads it meanwhile does not find it empty.
 * @returns null when there is no such file
 */
function overwrite(path: string, value: string, { unlessEdited, old, mode = MODE }: FileChange): Applied | null {
  let fd: number;
  try {
    fd = openSync(path, 'r+');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    const length = readSync(fd, current, 0, current.length, 0);
    const found = length < current.length ? current.toString('utf8', 0, length) : readFileSync(path, 'utf8');
    if (unlessEdited === true && found !== old) return ALREADY;
    if (found === value && (fstatSync(fd).mode & 0o7777) === mode) return ALREADY;
    const bytes = Buffer.from(value);
    writeFileSync(fd, bytes);
    if (bytes.length < length || length === current.length) ftruncateSync(fd, bytes.length);
    return CHANGED;
  } finally {
    closeSync(fd);
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

/** null = no such file */
function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Removes a directory and its parents as long as they are empty. */
export function removeEmpty(directory: string, roots: readonly string[]): void {
  // Not the root, nor what lies right under it.
  for (let path = directory; path.lastIndexOf('/') > 0 && !roots.includes(path); path = dirname(path)) {
    try {
      rmdirSync(path);
    } catch {
      return; // not empty, a mount point, or somebody else's
    }
  }
}
