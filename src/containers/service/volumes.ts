/** Volumes of the driver `local`: a directory under the data root, that outlives containers. */
import { execFile } from 'node:child_process';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { conflict, invalid, MoorError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { Containers } from '../../contracts/containers.ts';
import type { Container, MountPoint, Volume } from '../../model/container.ts';
import { fcntlH } from '../../sys/constants.ts';
import { openInsideIfThere, openRoot } from '../../sys/inside.ts';
import type { Context } from './context.ts';
import { volumeCreated, volumeEvent } from './events.ts';
import { checkVolumeName, type WantedMount } from './mounts.ts';
import { deleteVolume, putVolume } from './records.ts';
import { isoNow } from './state.ts';
import { attempt } from './undo.ts';

const run = promisify(execFile);

const directoryOf = (ctx: Context, name: string): string => `${ctx.config.dataRoot}/volumes/${name}`;

export function volumeOperations(ctx: Context): Containers['volumes'] {
  return {
    list: () => ctx.volumes.list(),
    get: (name) => ctx.volumes.get(name),
    create: (spec) => createVolume(ctx, spec),
    remove: (name, options) => removeVolume(ctx, name, options),
    size: (name) => directorySize(ctx.volumes.get(name).mountpoint),
    prune: (accepts) => pruneVolumes(ctx, accepts),
  };
}

type VolumeSpec = Parameters<Containers['volumes']['create']>[0];

/** A volume that is there already is the answer, as in Docker. @throws invalid */
async function createVolume(ctx: Context, { name, labels = {}, options = {} }: VolumeSpec): Promise<Volume> {
  const [option] = Object.keys(options);
  if (option !== undefined) throw invalid(`create ${name ?? ''}: invalid option: "${option.slice(0, 64)}"`);
  const chosen = name === undefined || name === '' ? newId() : checkVolumeName(name);
  using _lock = await ctx.locks.hold(`volume ${chosen}`);
  const present = ctx.volumes.lookup(chosen);
  if (present !== undefined) return present;
  const volume = newVolume(ctx, { name: chosen, labels, anonymous: name === undefined || name === '' });
  await ctx.store.commit([putVolume(volume)]);
  ctx.volumes.add(volume);
  try {
    await makeDirectory(ctx, volume);
  } catch (error) {
    ctx.volumes.remove(chosen);
    await attempt(ctx.logger, `forget volume ${chosen}`, async () => {
      await removeDirectory(ctx, chosen);
      await ctx.store.commit([deleteVolume(chosen)]);
    });
    throw error;
  }
  volumeCreated(ctx, volume);
  return volume;
}

/** Docker marks volumes without a name by this label. */
const ANONYMOUS = 'com.docker.volume.anonymous';

function newVolume(
  ctx: Context,
  { name, labels, anonymous }: { readonly name: string; readonly labels: Volume['labels']; readonly anonymous: boolean },
): Volume {
  return {
    name,
    created: isoNow(ctx),
    mountpoint: `${directoryOf(ctx, name)}/_data`,
    labels: anonymous ? { ...labels, [ANONYMOUS]: '' } : labels,
    options: {},
    anonymous,
  };
}

/** The volume of each mount, those that are to be made last; nothing is done yet. */
export function resolveVolumes(
  ctx: Context,
  wanted: readonly WantedMount[],
): { readonly mounts: readonly MountPoint[]; readonly fresh: readonly Volume[] } {
  const fresh = new Map<string, Volume>();
  const mounts = wanted.map(({ point, labels, volume }): MountPoint => {
    if (point.type !== 'volume') return { ...point, source: point.source ?? '' };
    const name = volume ?? newId();
    let found = ctx.volumes.lookup(name) ?? fresh.get(name);
    if (found === undefined) fresh.set(name, (found = newVolume(ctx, { name, labels, anonymous: volume === null })));
    return { ...point, name, source: found.mountpoint };
  });
  return { mounts, fresh: [...fresh.values()] };
}

/** Idempotent. */
export async function makeDirectory(ctx: Context, { name, mountpoint }: Volume): Promise<void> {
  try {
    await mkdir(directoryOf(ctx, name), { recursive: true, mode: 0o701 });
    await mkdir(mountpoint, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new MoorError('internal', `create ${name}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

export const removeDirectory = (ctx: Context, name: string): Promise<void> =>
  rm(directoryOf(ctx, name), { recursive: true, force: true });

/**
 * Copies what an image has at a mount's place into its volume, while that is empty, as Docker does at creation.
 * @param root the container's mounted root, which is not trusted: links in it are resolved inside it
 */
export async function copyUp(root: string, { destination, source }: MountPoint): Promise<void> {
  if ((await readdir(source)).length > 0) return;
  using directory = openRoot(root);
  using from = openInsideIfThere(directory, destination, fcntlH.O_PATH | fcntlH.O_DIRECTORY);
  if (from === null) return;
  // cp keeps owners, times, extended attributes, holes and hard links; by descriptor, so that nobody can swap the directory.
  await run('cp', ['-a', '--', `/proc/${process.pid}/fd/${from.number}/.`, source]);
}

export async function removeVolume(ctx: Context, name: string, { force }: { readonly force: boolean }): Promise<void> {
  using _lock = await ctx.locks.hold(`volume ${name}`);
  if (force && ctx.volumes.lookup(name) === undefined) return;
  const volume = ctx.volumes.get(name);
  const users = ctx.volumes.users(name);
  if (users.length > 0) throw conflict(`remove ${name}: volume is in use - [${users.join(', ')}]`);
  // In one synchronous stretch with the look above: from here on a new container makes a new one.
  ctx.volumes.remove(name);
  try {
    await removeDirectory(ctx, name);
    await ctx.store.commit([deleteVolume(name)]);
  } catch (error) {
    // Its row is there: it can be removed once more.
    ctx.volumes.add(volume);
    throw error;
  }
  volumeEvent(ctx, name, 'destroy');
}

/** Anonymous volumes of a container that goes, unless somebody else uses them. */
export async function removeAnonymous(ctx: Context, { mounts }: Container): Promise<void> {
  for (const { name } of mounts) {
    if (name === undefined || ctx.volumes.lookup(name)?.anonymous !== true || ctx.volumes.users(name).length > 0) continue;
    await attempt(ctx.logger, `remove volume ${name}`, () => removeVolume(ctx, name, { force: true }));
  }
}

async function pruneVolumes(
  ctx: Context,
  accepts: (volume: Volume) => boolean,
): Promise<{ readonly names: readonly string[]; readonly reclaimed: number }> {
  const names: string[] = [];
  let reclaimed = 0;
  for (const volume of ctx.volumes.list()) {
    if (ctx.volumes.users(volume.name).length > 0 || !accepts(volume)) continue;
    const size = await directorySize(volume.mountpoint);
    try {
      await removeVolume(ctx, volume.name, { force: false });
    } catch (error) {
      if (error instanceof MoorError && (error.kind === 'conflict' || error.kind === 'not-found')) continue; // used or gone meanwhile
      throw error;
    }
    names.push(volume.name);
    reclaimed += size;
  }
  return { names, reclaimed };
}

/** bytes; 0 when it cannot be read */
async function directorySize(path: string): Promise<number> {
  try {
    const { stdout } = await run('du', ['-sb', '--', path]);
    return Number.parseInt(stdout, 10) || 0;
  } catch {
    return 0;
  }
}
