/** What a path of a container names: parents are resolved inside its root, the last part is the thing itself. Docker's rules. */
import { readlinkSync, type Stats } from 'node:fs';
import { notFound } from '../../base/errors.ts';
import type { PathStat } from '../../contracts/containers.ts';
import { fcntlH } from '../../sys/constants.ts';
import { hasCode } from '../../sys/errors.ts';
import type { Fd } from '../../sys/fd.ts';
import { childPath, descriptorPath, openInside } from '../../sys/inside.ts';
import { lookAt } from './tree.ts';

const { O_PATH, O_DIRECTORY } = fcntlH;

export interface Place extends Disposable {
  readonly parent: Fd;
  /** In `parent`; `.` for the root, and for a path that ends in a slash or `/.`, which means what a link points to. */
  readonly name: string;
  /** Last part of the path as it was given: what a tar of it begins with. */
  readonly shown: string;
  readonly stats: Stats;
}

/** @throws not-found `Could not find the file X in container` */
export function findPlace(root: Fd, path: string): Place {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  const inside = parts.length === 0 || /(^|\/)\.?$/.test(path) || parts.at(-1) === '..';
  const name = inside ? '.' : (parts.at(-1) ?? '.');
  const missing = (): Error => notFound(`Could not find the file ${path} in container`);
  let parent: Fd;
  try {
    parent = openInside(root, `/${(inside ? parts : parts.slice(0, -1)).join('/')}`, O_PATH | O_DIRECTORY);
  } catch (error) {
    throw hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP') ? missing() : error;
  }
  const stats = lookAt(parent, name);
  if (stats === null) {
    parent.close();
    throw missing();
  }
  const shown = parts.length === 0 ? '/' : path.endsWith('/.') ? '.' : (parts.at(-1) ?? '/');
  return { parent, name, shown, stats, [Symbol.dispose]: () => parent.close() };
}

/** Go's fs.FileMode: permissions, and these bits. (pkg.go.dev/io/fs#FileMode) */
const GO_MODE = {
  directory: 2 ** 31,
  link: 2 ** 27,
  device: 2 ** 26,
  fifo: 2 ** 25,
  socket: 2 ** 24,
  setuid: 2 ** 23,
  setgid: 2 ** 22,
  character: 2 ** 21,
  sticky: 2 ** 20,
} as const;

export function goMode(stats: Stats): number {
  const { mode } = stats;
  let bits = mode & 0o777;
  if (stats.isDirectory()) bits += GO_MODE.directory;
  if (stats.isSymbolicLink()) bits += GO_MODE.link;
  if (stats.isBlockDevice()) bits += GO_MODE.device;
  if (stats.isCharacterDevice()) bits += GO_MODE.device + GO_MODE.character;
  if (stats.isFIFO()) bits += GO_MODE.fifo;
  if (stats.isSocket()) bits += GO_MODE.socket;
  if (mode & 0o4000) bits += GO_MODE.setuid;
  if (mode & 0o2000) bits += GO_MODE.setgid;
  if (mode & 0o1000) bits += GO_MODE.sticky;
  return bits;
}

export function pathStat(root: Fd, path: string): PathStat {
  using place = findPlace(root, path);
  const { stats } = place;
  return {
    name: place.shown,
    size: stats.size,
    mode: goMode(stats),
    mtime: stats.mtime.toISOString(),
    linkTarget: stats.isSymbolicLink() ? linkTarget(root, place) : '',
  };
}

/** Where a link leads, as an absolute path of the container; what it says when that is not there. */
function linkTarget(root: Fd, { parent, name }: Place): string {
  const base = pathWithin(root, parent);
  const said = readlinkSync(childPath(parent, name));
  try {
    using target = openInside(root, `${base}/${name}`, O_PATH);
    return pathWithin(root, target) || '/';
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
    return said.startsWith('/') ? said : `${base}/${said}`;
  }
}

/** Absolute path of an open file inside a root; '' for the root itself. */
export function pathWithin(root: Fd, file: Fd): string {
  const [outer, inner] = [root, file].map((fd) => readlinkSync(descriptorPath(fd)));
  return outer === '/' ? (inner ?? '') : (inner ?? '').slice((outer ?? '').length);
}
