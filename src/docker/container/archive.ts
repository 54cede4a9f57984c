/** Files of a container: `docker cp`, `docker export`, `docker diff`. */
import type { Readable } from 'node:stream';
import { invalid, unsupported } from '../../base/errors.ts';
import type { PathStat } from '../../contracts/containers.ts';
import { queryBoolean, queryText } from '../query.ts';
import type { Call, DockerDeps, DockerRoute } from '../route.ts';
import { sendReadable } from '../stream/response.ts';
import { containerOf } from './view.ts';

export const ARCHIVE_ROUTES: readonly DockerRoute[] = [
  { method: 'HEAD', path: '/containers/:id/archive', summary: 'what a path is', handle: stat },
  { method: 'GET', path: '/containers/:id/archive', summary: 'a path as a tar', handle: get },
  { method: 'PUT', path: '/containers/:id/archive', body: 'stream', summary: 'unpack a tar into a folder', handle: put },
  { method: 'GET', path: '/containers/:id/export', summary: 'the whole root as a tar', handle: exportRoot },
  { method: 'GET', path: '/containers/:id/changes', summary: 'paths that differ from the image', handle: changes },
];

const STAT_HEADER = 'x-docker-container-path-stat';

function statHeader({ name, size, mode, mtime, linkTarget }: PathStat): Readonly<Record<string, string>> {
  return { [STAT_HEADER]: Buffer.from(JSON.stringify({ name, size, mode, mtime, linkTarget })).toString('base64') };
}

function target(
  deps: DockerDeps,
  { query, parameter }: Call,
): { readonly id: string; readonly path: string; readonly user: string } {
  const path = queryText(query, 'path');
  if (path === '') throw invalid("bad parameter: 'path' cannot be empty");
  const { id, config } = containerOf(deps, parameter('id'), 'copy files of');
  return { id, path, user: config.User };
}

async function stat(deps: DockerDeps, call: Call): Promise<unknown> {
  const { id, path } = target(deps, call);
  const { root, done } = await deps.containers.root(id);
  try {
    call.reply.headers(statHeader(await deps.rootFiles.stat(root, path)));
  } finally {
    await done();
  }
  return call.reply.code(200).send();
}

async function get(deps: DockerDeps, call: Call): Promise<unknown> {
  const { id, path } = target(deps, call);
  const { root, done } = await deps.containers.root(id);
  try {
    const { stat: facts, tar } = await deps.rootFiles.read(root, path);
    return await sendReadable(call, tar, { contentType: 'application/x-tar', headers: statHeader(facts) });
  } finally {
    await done();
  }
}

async function put(deps: DockerDeps, call: Call): Promise<unknown> {
  const { request, reply, query } = call;
  const { id, path, user } = target(deps, call);
  if (queryBoolean(query, 'copyUIDGID') && user !== '') {
    throw unsupported('Cannot give the files to the container’s user (copyUIDGID): this is not supported by Moorline');
  }
  const { root, done } = await deps.containers.root(id);
  const gone = new AbortController();
  request.raw.once('aborted', () => gone.abort());
  try {
    await deps.rootFiles.write(root, path, {
      tar: request.body as Readable,
      noOverwriteDirNonDir: queryBoolean(query, 'noOverwriteDirNonDir'),
      signal: AbortSignal.any([gone.signal, deps.stopping]),
    });
  } finally {
    await done();
  }
  return reply.code(200).send();
}

/** Of the layers alone: a running container sees /proc, volumes and more in its root, which are no part of it. */
async function exportRoot(deps: DockerDeps, call: Call): Promise<unknown> {
  const { id, imageId } = containerOf(deps, call.parameter('id'), 'export');
  const { done } = await deps.containers.root(id);
  try {
    // Mounted already: by its process, or just now.
    const root = await deps.rootFiles.mount(id, deps.images.lower(imageId));
    return await sendReadable(call, await deps.rootFiles.export(root), { contentType: 'application/x-tar' });
  } finally {
    await done();
  }
}

/** Files that are mounted over the root's: empty ones are made to mount them on, which is no change of the container's. */
const MOUNTED = ['/etc/hostname', '/etc/hosts', '/etc/resolv.conf'];

async function changes(deps: DockerDeps, { parameter }: Call): Promise<unknown> {
  const { id, imageId } = containerOf(deps, parameter('id'), 'show the changes of');
  const all = await deps.rootFiles.changes(id, deps.images.lower(imageId));
  const own = all.filter(({ Path, Kind }) => Kind !== ADDED || !MOUNTED.includes(Path));
  const made = own.length < all.length;
  // Their folder has changed by them alone, unless something else in it has.
  const shown = own.filter(({ Path }) => !made || Path !== '/etc' || own.some((other) => other.Path.startsWith('/etc/')));
  return shown.length === 0 ? null : shown;
}

/** Docker's kinds of change: 0 modified, 1 added, 2 deleted. */
const ADDED = 1;
