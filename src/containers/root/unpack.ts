/** Unpacks a tar into a directory of a container. The archive and the root may both be hostile, and the container may be running. */
import {
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import type { Readable } from 'node:stream';
import { invalid, MoorError, notFound } from '../../base/errors.ts';
import { fcntlH } from '../../sys/constants.ts';
import { hasCode } from '../../sys/errors.ts';
import type { Fd } from '../../sys/fd.ts';
import { childPath, openInside, writeAttribute } from '../../sys/inside.ts';
import { type Entry, readTar, showName } from '../images/tar/read.ts';
import { pathWithin } from './place.ts';
import { lookAt, makeDirectories, openDirectory, removeAll } from './tree.ts';

const { O_PATH, O_DIRECTORY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fcntlH;
const CAPABILITY = 'security.capability';

export interface UnpackOptions {
  readonly tar: Readable;
  /** A directory must not take the place of something else, nor the reverse. */
  readonly noOverwriteDirNonDir: boolean;
  readonly signal: AbortSignal;
}

/**
 * @throws not-found when there is no such directory; invalid for a path that is none, and for what is wrong in the archive: what came before
 * it stays (as with Docker)
 */
export async function unpackInto(root: Fd, path: string, { tar, noOverwriteDirNonDir, signal }: UnpackOptions): Promise<void> {
  using target = openTarget(root, path);
  const base = pathWithin(root, target).split('/').filter(Boolean);
  /** Times of directories are set when nothing more is written into them. */
  const directories: { readonly parts: readonly Buffer[]; readonly mtime: number }[] = [];
  for await (const { entry, body } of readTar(tar, { what: 'archive', needsEnd: false })) {
    if (signal.aborted) throw new MoorError('cancelled', `Cannot unpack into ${path}: cancelled`);
    const parts = [...base.map((part) => Buffer.from(part)), ...partsOf(entry.name)];
    const name = parts.at(-1);
    if (parts.length === base.length || name === undefined) continue; // the directory itself
    using parent = openParent(root, parts.slice(0, -1), entry);
    makeWay(parent, name, { entry, noOverwriteDirNonDir });
    if (entry.type === 'directory') directories.push({ parts, mtime: Number(entry.mtime) });
    await make({ root, parent, name, base }, entry, body);
  }
  for (const { parts, mtime } of directories.reverse()) {
    using parent = openIfThere(root, parts.slice(0, -1));
    const name = parts.at(-1);
    if (parent && name && lookAt(parent, name)) lutimesSync(childPath(parent, name), mtime, mtime);
  }
}

interface Where {
  readonly root: Fd;
  readonly parent: Fd;
  readonly name: Buffer;
  /** Of the directory that is unpacked into: hard links count from there. */
  readonly base: readonly string[];
}

async function make(where: Where, entry: Entry, body: AsyncIterable<Buffer>): Promise<void> {
  const { parent, name } = where;
  const path = childPath(parent, name);
  const mtime = Number(entry.mtime);
  switch (entry.type) {
    case 'directory': {
      if (lookAt(parent, name) === null) mkdirSync(path, { mode: 0o700 });
      using directory = openDirectory(parent, name);
      fchownSync(directory.number, entry.uid, entry.gid);
      fchmodSync(directory.number, entry.mode);
      return;
    }
    case 'file': {
      using file = openInside(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
      for await (const chunk of body) {
        for (let done = 0; done < chunk.length; ) done += writeSync(file.number, chunk, done);
      }
      // Rights last: changing the owner takes set-user-id and capabilities away.
      fchownSync(file.number, entry.uid, entry.gid);
      fchmodSync(file.number, entry.mode);
      const capability = entry.xattrs.get(CAPABILITY);
      if (capability !== undefined) writeAttribute(path, CAPABILITY, Buffer.from(capability, 'latin1'));
      futimesSync(file.number, mtime, mtime);
      return;
    }
    case 'symbolic link':
      symlinkSync(Buffer.from(entry.linkname, 'latin1'), path);
      lchownSync(path, entry.uid, entry.gid);
      lutimesSync(path, mtime, mtime);
      return;
    case 'hard link': {
      const target = [...where.base.map((part) => Buffer.from(part)), ...partsOf(entry.linkname)];
      const last = target.at(-1);
      using directory = openIfThere(where.root, target.slice(0, -1));
      if (!directory || !last || lookAt(directory, last) === null) {
        throw invalid(`entry ${showName(entry.name)}: it links to ${showName(entry.linkname)}, which is not there`);
      }
      linkSync(childPath(directory, last), path);
      return;
    }
    case 'fifo':
    case 'character device':
    case 'block device':
      throw invalid(`entry ${showName(entry.name)}: a ${entry.type} is not copied into a container`);
  }
}

/** Removes what is in an entry's place; a directory stays where a directory comes. */
function makeWay(
  parent: Fd,
  name: Buffer,
  { entry, noOverwriteDirNonDir }: { readonly entry: Entry; readonly noOverwriteDirNonDir: boolean },
): void {
  const there = lookAt(parent, name);
  if (there === null) return;
  const isDirectory = entry.type === 'directory';
  if (there.isDirectory() && isDirectory) return;
  if (noOverwriteDirNonDir && there.isDirectory() !== isDirectory) {
    const [old, fresh] = isDirectory ? ['non-directory', 'directory'] : ['directory', 'non-directory'];
    throw invalid(`cannot overwrite ${old} ${showName(name.toString('latin1'))} with ${fresh} ${showName(entry.name)}`);
  }
  removeAll(parent, name);
}

function openParent(root: Fd, parts: readonly Buffer[], entry: Entry): Fd {
  try {
    return makeDirectories(root, parts);
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
    throw invalid(`entry ${showName(entry.name)}: what is above it is no directory`);
  }
}

function openTarget(root: Fd, path: string): Fd {
  try {
    return openInside(root, `/${path}`, O_PATH | O_DIRECTORY);
  } catch (error) {
    if (hasCode(error, 'ENOTDIR')) throw invalid('extraction point is not a directory');
    throw hasCode(error, 'ENOENT', 'ELOOP') ? notFound(`Could not find the file ${path} in container`) : error;
  }
}

function openIfThere(root: Fd, parts: readonly Buffer[]): Fd | null {
  try {
    return openInside(
      root,
      Buffer.concat([Buffer.from('/'), ...parts.flatMap((part) => [part, Buffer.from('/')])]),
      O_PATH | O_DIRECTORY,
    );
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return null;
    throw error;
  }
}

/** Relative to where it is unpacked; `..` would be resolved harmlessly, but an archive that has it is up to something. */
function partsOf(name: string): readonly Buffer[] {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw invalid(`entry ${showName(name)}: it leads out of the directory`);
  return parts.map((part) => Buffer.from(part, 'latin1'));
}
