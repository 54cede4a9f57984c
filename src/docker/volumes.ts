/** `/volumes` */
import { invalid, notFound, unsupported } from '../base/errors.ts';
import type { Volume } from '../model/container.ts';
import { readBody } from './body.ts';
import { parseFilters } from './filters.ts';
import { queryBoolean, queryText } from './query.ts';
import type { Call, DockerDeps, DockerRoute } from './route.ts';

export const VOLUME_ROUTES: readonly DockerRoute[] = [
  { method: 'GET', path: '/volumes', summary: 'list, with filters', handle: list },
  { method: 'GET', path: '/volumes/:name', summary: 'inspect', handle: inspect },
  { method: 'POST', path: '/volumes/create', summary: 'create', handle: create },
  { method: 'DELETE', path: '/volumes/:name', summary: 'remove', handle: remove },
  { method: 'POST', path: '/volumes/prune', since: '1.25', summary: 'remove those that no container has', handle: prune },
];

export function volumeShape(volume: Volume): Readonly<Record<string, unknown>> {
  const { labels, options } = volume;
  return {
    CreatedAt: volume.created,
    Driver: 'local',
    Labels: Object.keys(labels).length === 0 ? null : labels,
    Mountpoint: volume.mountpoint,
    Name: volume.name,
    Options: Object.keys(options).length === 0 ? null : options,
    Scope: 'local',
  };
}

/** How many containers have each volume, by name. */
export function volumeUses({ containers }: DockerDeps): ReadonlyMap<string, number> {
  const uses = new Map<string, number>();
  for (const { mounts } of containers.list()) {
    for (const { type, name } of mounts) {
      if (type === 'volume' && name !== undefined) uses.set(name, (uses.get(name) ?? 0) + 1);
    }
  }
  return uses;
}

async function list(deps: DockerDeps, { query }: Call): Promise<unknown> {
  const filters = parseFilters(queryText(query, 'filters'));
  filters.accept(['dangling', 'driver', 'label', 'name']);
  const dangling = filters.boolean('dangling');
  const uses = volumeUses(deps);
  const volumes = deps.containers.volumes
    .list()
    .filter(
      ({ name, labels }) =>
        filters.matches('name', name) &&
        filters.exact('driver', 'local') &&
        filters.labels('label', labels) &&
        (dangling === undefined || dangling === !uses.has(name)),
    );
  return { Volumes: volumes.map(volumeShape), Warnings: null };
}

async function inspect({ containers }: DockerDeps, { parameter }: Call): Promise<unknown> {
  return volumeShape(containers.volumes.get(parameter('name')));
}

async function create({ containers }: DockerDeps, { request, reply }: Call): Promise<unknown> {
  const body = readBody(request.body);
  const name = body.string('Name') ?? '';
  const driver = body.string('Driver') ?? '';
  if (body.says('ClusterVolumeSpec'))
    throw unsupported('Cannot create the volume: cluster volumes are not supported by Moorline');
  if (driver !== '' && driver !== 'local') {
    throw notFound(`create ${name}: error looking up volume plugin ${driver}: plugin ${JSON.stringify(driver)} not found`);
  }
  const volume = await containers.volumes.create({
    ...(name === '' ? {} : { name }),
    labels: body.stringMap('Labels') ?? {},
    options: body.stringMap('DriverOpts') ?? {},
  });
  reply.code(201);
  return volumeShape(volume);
}

async function remove({ containers }: DockerDeps, { query, reply, parameter }: Call): Promise<unknown> {
  await containers.volumes.remove(parameter('name'), { force: queryBoolean(query, 'force') });
  return reply.code(204).send();
}

async function prune({ containers, apiVersion }: DockerDeps, { request, query }: Call): Promise<unknown> {
  const filters = parseFilters(queryText(query, 'filters'));
  filters.accept(['all', 'label', 'label!']);
  if (filters.values('all').length > 1) throw invalid("invalid filter 'all': more than one value");
  // Since API 1.42 a volume that was given a name is only pruned when that is asked for.
  const all = apiVersion(request.raw).minor < 42 || filters.boolean('all') === true;
  const { names, reclaimed } = await containers.volumes.prune(
    ({ anonymous, labels }) =>
      (all || anonymous) && filters.labels('label', labels) && !(filters.has('label!') && filters.labels('label!', labels)),
  );
  return { VolumesDeleted: names.length === 0 ? null : names, SpaceReclaimed: reclaimed };
}
