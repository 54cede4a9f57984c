/** Steps in a tree that somebody else may be changing meanwhile: by open directories, so that no link is ever followed by accident. */
import { lstatSync, mkdirSync, readdirSync, rmdirSync, type Stats, unlinkSync } from 'node:fs';
import { fcntlH } from '../../sys/constants.ts';
import { hasCode } from '../../sys/errors.ts';
import type { Fd } from '../../sys/fd.ts';
import { childPath, descriptorPath, openInside, type PathBytes } from '../../sys/inside.ts';

const { O_PATH, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fcntlH;

/** null when there is nothing of that name */
export const lookAt = (directory: Fd, name: PathBytes): Stats | null =>
  lstatSync(childPath(directory, name), { throwIfNoEntry: false }) ?? null;

/** Names in a directory, as bytes, sorted. */
export const namesOf = (directory: Fd): readonly Buffer[] =>
  readdirSync(descriptorPath(directory), { encoding: 'buffer' }).sort((a, b) => a.compare(b));

/** A directory in a directory, itself and no link to one. @throws invalid (ENOTDIR, ELOOP) */
export const openDirectory = (directory: Fd, name: PathBytes): Fd =>
  openInside(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

/** Removes a name and all below it. */
export function removeAll(directory: Fd, name: PathBytes): void {
  const found = lookAt(directory, name);
  if (found === null) return;
  if (!found.isDirectory()) {
    unlinkSync(childPath(directory, name));
    return;
  }
  {
    using inner = openDirectory(directory, name);
    for (const child of namesOf(inner)) removeAll(inner, child);
  }
  rmdirSync(childPath(directory, name));
}

/**
 * Opens a directory by a path inside a root, making what is missing as root's with mode 755. Links on the way are those of the root.
 * @throws invalid (ENOTDIR) when something else is in the way
 */
export function makeDirectories(root: Fd, parts: readonly PathBytes[]): Fd {
  const path = (count: number): Buffer => joined(parts.slice(0, count));
  try {
    return openInside(root, path(parts.length), O_PATH | O_DIRECTORY);
  } catch (error) {
    if (!hasCode(error, 'ENOENT') || parts.length === 0) throw error;
  }
  {
    using parent = makeDirectories(root, parts.slice(0, -1));
    const last = parts.at(-1) ?? '';
    // A link to nowhere is in the way: it is not followed in making what it names.
    if (lookAt(parent, last) === null) mkdirSync(childPath(parent, last), { mode: 0o755 });
  }
  return openInside(root, path(parts.length), O_PATH | O_DIRECTORY);
}

/** Parts with slashes between; `.` for none. */
export const joined = (parts: readonly PathBytes[]): Buffer =>
  parts.length === 0
    ? Buffer.from('.')
    : Buffer.concat(parts.flatMap((part, index) => [Buffer.from(index === 0 ? '' : '/'), Buffer.from(part)]));
