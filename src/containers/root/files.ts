/** Containers' roots: overlayfs, one writable layer over an image's. */
import { chmodSync, chownSync, lstatSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Id } from '../../base/ids.ts';
import type { RootFiles } from '../../contracts/containers.ts';
import type { Fd } from '../../sys/fd.ts';
import { openRoot } from '../../sys/inside.ts';
import { isMountPoint, mountFileSystem, unmount } from '../../sys/mount.ts';
import { changesOf } from './changes.ts';
import { packPath, packRoot } from './pack.ts';
import { pathStat } from './place.ts';
import { unpackInto } from './unpack.ts';

export interface RootFilesOptions {
  /** Writable layers and mounts lie in `<dataRoot>/containers/<id>/`. `remove` removes that directory whole, the container's log included. */
  readonly dataRoot: string;
}

export function createRootFiles({ dataRoot }: RootFilesOptions): RootFiles {
  const places = (container: Id): Record<'all' | 'upper' | 'work' | 'empty' | 'root', string> => {
    const all = join(dataRoot, 'containers', container);
    return { all, upper: join(all, 'upper'), work: join(all, 'work'), empty: join(all, 'empty'), root: join(all, 'root') };
  };

  async function create(container: Id, lower: readonly string[]): Promise<void> {
    const { all, ...rest } = places(container);
    mkdirSync(all, { recursive: true, mode: 0o710 });
    for (const directory of Object.values(rest)) mkdirSync(directory, { recursive: true, mode: 0o755 });
    // The root directory that a container sees is the writable layer's own.
    const { mode, uid, gid } = lower[0] === undefined ? { mode: 0o755, uid: 0, gid: 0 } : statSync(lower[0]);
    chmodSync(rest.upper, mode & 0o7777);
    chownSync(rest.upper, uid, gid);
  }

  return {
    create,

    async mount(container, lower) {
      const { upper, work, empty, root } = places(container);
      if (lstatSync(root, { throwIfNoEntry: false }) === undefined) await create(container, lower);
      if (!isMountPoint(root)) mountOverlay(root, { lower: lower.length === 0 ? [empty] : lower, upper, work });
      return root;
    },

    async unmount(container) {
      unmount(places(container).root);
    },

    async remove(container) {
      const { all, root } = places(container);
      while (unmount(root));
      rmSync(all, { recursive: true, force: true });
    },

    size: (container) => sizeOf(places(container).upper, new Set()),

    async read(root, path) {
      const opened = openRoot(root);
      try {
        const stat = pathStat(opened, path);
        return { stat, tar: readable(opened, packPath(opened, path)) };
      } catch (error) {
        opened.close();
        throw error;
      }
    },

    async export(root) {
      const opened = openRoot(root);
      return readable(opened, packRoot(opened));
    },

    async stat(root, path) {
      using opened = openRoot(root);
      return pathStat(opened, path);
    },

    async write(root, path, options) {
      using opened = openRoot(root);
      await unpackInto(opened, path, options);
    },

    async changes(container, lower) {
      return changesOf(places(container).upper, lower);
    },
  };
}

/** Closes the root with the stream, and not by the generator, which may never be begun. */
function readable(root: Fd, chunks: AsyncGenerator<Buffer>): Readable {
  const tar = Readable.from(chunks, { objectMode: false });
  tar.once('close', () => root.close());
  return tar;
}

interface OverlayOptions {
  readonly lower: readonly string[];
  readonly upper: string;
  readonly work: string;
}

/** The kernel takes one page of options, and no colon in a path: directories are named by descriptors, which are short and have none. */
function mountOverlay(target: string, { lower, upper, work }: OverlayOptions): void {
  using stack = new DisposableStack();
  const name = (path: string): string => `/proc/self/fd/${stack.use(openRoot(path)).number}`;
  const layers = lower.map(name).join(':');
  // Set as they are by default where a distribution does not say otherwise: a layer must not depend on where it lies.
  const fixed = 'index=off,redirect_dir=off,metacopy=off';
  mountFileSystem('overlay', target, `lowerdir=${layers},upperdir=${name(upper)},workdir=${name(work)},${fixed}`);
}

/** bytes of all files, each inode once */
async function sizeOf(directory: string, seen: Set<number>): Promise<number> {
  let total = 0;
  for await (const entry of await opendir(directory)) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) total += await sizeOf(path, seen);
    if (!entry.isFile()) continue;
    const { ino, size, nlink } = await lstat(path);
    if (nlink > 1 && seen.has(ino)) continue;
    seen.add(ino);
    total += size;
  }
  return total;
}
