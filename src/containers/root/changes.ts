/** What a container changed, from its writable layer alone. Docs/filesystems/overlayfs.rst: whiteouts, opaque directories. */
import { lstatSync, readdirSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { readAttribute } from '../../sys/inside.ts';

export interface Change {
  readonly Path: string;
  readonly Kind: 0 | 1 | 2;
}

const MODIFIED = 0;
const ADDED = 1;
const DELETED = 2;

/**
 * @param upper the writable layer
 * @param lower layers under it, top first
 * @returns sorted by path
 */
export function changesOf(upper: string, lower: readonly string[]): readonly Change[] {
  const changes: Change[] = [];
  walk(upper, '', { lower, changes });
  return changes.sort((a, b) => (a.Path < b.Path ? -1 : 1));
}

function walk(
  upper: string,
  path: string,
  { lower, changes }: { readonly lower: readonly string[]; readonly changes: Change[] },
): void {
  for (const name of readdirSync(join(upper, path))) {
    const child = `${path}/${name}`;
    const stats = lstatSync(join(upper, child));
    if (isWhiteout(stats)) {
      if (findBelow(lower, child)) changes.push({ Path: child, Kind: DELETED });
      continue;
    }
    const below = findBelow(lower, child);
    const before = changes.length;
    if (stats.isDirectory()) {
      if (isOpaque(join(upper, child))) hidden(upper, child, { lower, changes });
      walk(upper, child, { lower, changes });
    }
    // The kernel makes the directories around what is changed, with the times of those below.
    const untouched =
      below !== null && stats.isDirectory() && below.isDirectory() && sameDirectory(stats, below) && changes.length === before;
    if (!untouched) changes.push({ Path: child, Kind: below === null ? ADDED : MODIFIED });
  }
}

/** What was in a directory that was replaced as a whole. */
function hidden(
  upper: string,
  path: string,
  { lower, changes }: { readonly lower: readonly string[]; readonly changes: Change[] },
): void {
  const names = new Set(lower.flatMap((layer) => namesIn(join(layer, path))));
  for (const name of names) {
    const child = `${path}/${name}`;
    if (lstatSync(join(upper, child), { throwIfNoEntry: false }) === undefined && findBelow(lower, child)) {
      changes.push({ Path: child, Kind: DELETED });
    }
  }
}

/** What the layers together show at a path; null when nothing. */
function findBelow(lower: readonly string[], path: string): Stats | null {
  const parts = path.split('/').filter(Boolean);
  for (const layer of lower) {
    let at = layer;
    for (const [index, part] of parts.entries()) {
      at = join(at, part);
      const stats = lstatSync(at, { throwIfNoEntry: false });
      if (stats === undefined) break;
      if (isWhiteout(stats)) return null;
      if (index === parts.length - 1) return stats;
      // A file or link here hides what deeper layers have below that name.
      if (!stats.isDirectory()) return null;
      if (isOpaque(at) && lstatSync(join(at, parts[index + 1] ?? ''), { throwIfNoEntry: false }) === undefined) return null;
    }
  }
  return null;
}

const isWhiteout = (stats: Stats): boolean => stats.isCharacterDevice() && stats.rdev === 0;
const isOpaque = (path: string): boolean => readAttribute(path, 'trusted.overlay.opaque')?.toString() === 'y';
const sameDirectory = (a: Stats, b: Stats): boolean =>
  a.mtimeMs === b.mtimeMs && a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;

function namesIn(directory: string): readonly string[] {
  const stats = lstatSync(directory, { throwIfNoEntry: false });
  return stats?.isDirectory() ? readdirSync(directory) : [];
}
