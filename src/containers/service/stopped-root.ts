/** A stopped container's root as it will see it: with its volumes in place, so that `docker cp` into one reaches it. */
import { mkdirSync } from 'node:fs';
import type { MountPoint } from '../../model/container.ts';
import { fcntlH } from '../../sys/constants.ts';
import { type Fd } from '../../sys/fd.ts';
import { descriptorPath, openInside, openInsideIfThere, openRoot } from '../../sys/inside.ts';
import { bindOver } from '../../sys/mount.ts';

const DIRECTORY = fcntlH.O_PATH | fcntlH.O_DIRECTORY;

/**
 * They go when the root is unmounted, which takes along what is mounted below it.
 * @param root mounted, and not trusted: a link in it leads nowhere else
 */
export function mountVolumes(root: string, mounts: readonly MountPoint[]): void {
  using directory = openRoot(root);
  // One below another comes after it.
  for (const { destination, source } of mounts.filter(({ type }) => type === 'volume').toSorted(byDepth)) {
    using target = directoryInside(directory, destination);
    bindOver(source, target);
  }
}

const byDepth = (a: MountPoint, b: MountPoint): number => a.destination.split('/').length - b.destination.split('/').length;

/** The directory at a path, made where it is missing, as the runtime does at a start. */
function directoryInside(root: Fd, path: string): Fd {
  let prefix = '';
  for (const part of path.split('/').filter(Boolean)) {
    using parent = openInside(root, prefix || '/', DIRECTORY);
    prefix = `${prefix}/${part}`;
    using found = openInsideIfThere(root, prefix, DIRECTORY);
    if (found === null) mkdirSync(`${descriptorPath(parent)}/${part}`, { mode: 0o755 });
  }
  return openInside(root, path, DIRECTORY);
}
