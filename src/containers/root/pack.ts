/** A tar of one path of a container. */
import { readlinkSync, readSync, type Stats } from 'node:fs';
import { fcntlH } from '../../sys/constants.ts';
import { hasCode } from '../../sys/errors.ts';
import type { Fd } from '../../sys/fd.ts';
import { childPath, openInside, readAttribute } from '../../sys/inside.ts';
import type { EntryType } from '../images/tar/header.ts';
import { END, entryOf, headerOf, pad } from '../images/tar/write.ts';
import { findPlace } from './place.ts';
import { lookAt, namesOf, openDirectory } from './tree.ts';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fcntlH;
/** bytes read at once; between two of them other work goes on */
const CHUNK = 256 * 1024;
const CAPABILITY = 'security.capability';

/** Devices and sockets are left out: they mean nothing elsewhere. The root must stay open until the end. */
export async function* packPath(root: Fd, path: string): AsyncGenerator<Buffer> {
  using place = findPlace(root, path);
  const links = new Map<string, string>();
  yield* packEntry(
    { directory: place.parent, name: Buffer.from(place.name), shown: Buffer.from(place.shown).toString('latin1') },
    links,
  );
  yield END;
}

/** The whole root, as `docker export` has it: names without anything before them, and no entry for the root itself. */
export async function* packRoot(root: Fd): AsyncGenerator<Buffer> {
  const links = new Map<string, string>();
  using directory = openDirectory(root, Buffer.from('.'));
  for (const name of namesOf(directory)) yield* packEntry({ directory, name, shown: name.toString('latin1') }, links);
  yield END;
}

interface Step {
  readonly directory: Fd;
  readonly name: Buffer;
  /** In the archive; one character a byte. */
  readonly shown: string;
}

/** @param links device and inode of files with several names -> the name that has the content */
async function* packEntry({ directory, name, shown }: Step, links: Map<string, string>): AsyncGenerator<Buffer> {
  const stats = lookAt(directory, name);
  if (stats === null) return; // removed meanwhile
  const type = typeOf(stats);
  if (type === null) return;
  const base = {
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    mtime: String(Math.max(0, Math.floor(stats.mtimeMs / 1000))),
  };
  switch (type) {
    case 'directory': {
      using inner = openThere(() => openDirectory(directory, name));
      if (inner === null) return;
      // All names begin with the first one, be it `.` or `/`: a client puts another in its place.
      const prefix = shown === '/' ? '/' : `${shown}/`;
      yield headerOf(entryOf({ ...base, type, name: prefix }));
      for (const child of namesOf(inner)) {
        yield* packEntry({ directory: inner, name: child, shown: prefix + child.toString('latin1') }, links);
      }
      return;
    }
    case 'symbolic link': {
      const target = readlinkSync(childPath(directory, name), { encoding: 'buffer' });
      yield headerOf(entryOf({ ...base, type, name: shown, linkname: target.toString('latin1') }));
      return;
    }
    case 'file': {
      const identity = `${stats.dev}:${stats.ino}`;
      const first = stats.nlink > 1 ? links.get(identity) : undefined;
      if (first !== undefined) {
        yield headerOf(entryOf({ ...base, type: 'hard link', name: shown, linkname: first }));
        return;
      }
      if (stats.nlink > 1) links.set(identity, shown);
      using file = openThere(() => openInside(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
      if (file === null) return;
      const capability = readAttribute(childPath(directory, name), CAPABILITY);
      const xattrs = new Map(capability ? [[CAPABILITY, capability.toString('latin1')]] : []);
      yield headerOf(entryOf({ ...base, type, name: shown, size: stats.size, xattrs }));
      yield* content(file, stats.size);
      return;
    }
    default:
      yield headerOf(entryOf({ ...base, type, name: shown }));
  }
}

/** Exactly as many bytes as the header said: a file that shrinks meanwhile is filled up, one that grows is cut. */
async function* content(file: Fd, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < size; ) {
    const chunk = Buffer.alloc(Math.min(CHUNK, size - at));
    const count = readSync(file.number, chunk, 0, chunk.length, at);
    at += count === 0 ? chunk.length : count;
    yield count === 0 ? chunk : chunk.subarray(0, count);
    await new Promise((resolve) => setImmediate(resolve));
  }
  yield pad(size);
}

function typeOf(stats: Stats): EntryType | null {
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symbolic link';
  if (stats.isFile()) return 'file';
  return stats.isFIFO() ? 'fifo' : null;
}

/** null when it is gone, or something else, by now */
function openThere(open: () => Fd): Fd | null {
  try {
    return open();
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO')) return null;
    throw error;
  }
}
