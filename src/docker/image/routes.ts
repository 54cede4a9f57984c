/** `/images` */
import { invalid } from '../../base/errors.ts';
import type { Image } from '../../model/container.ts';
import { parseFilters } from '../filters.ts';
import { queryBoolean, queryText } from '../query.ts';
import type { Call, DockerDeps, DockerRoute } from '../route.ts';
import { publishImage } from './events.ts';
import { list, untilOf } from './list.ts';
import { imageHistory, imageInspect } from './shape.ts';
import { IMAGE_TRANSFER_ROUTES } from './transfer.ts';

export const IMAGE_ROUTES: readonly DockerRoute[] = [
  { method: 'GET', path: '/images/json', summary: 'list, with filters', handle: list },
  { method: 'GET', path: '/images/:name+/json', summary: 'inspect', handle: inspect },
  { method: 'GET', path: '/images/:name+/history', summary: 'the steps it was made by', handle: history },
  { method: 'POST', path: '/images/:name+/tag', summary: 'give it one more name', handle: tag },
  { method: 'DELETE', path: '/images/:name+', summary: 'take a name away; with the last one the image', handle: remove },
  {
    method: 'POST',
    path: '/images/prune',
    since: '1.25',
    summary: 'remove images without names, or all unused ones',
    handle: prune,
  },
  ...IMAGE_TRANSFER_ROUTES,
];

async function inspect({ images, apiVersion }: DockerDeps, { request, parameter }: Call): Promise<unknown> {
  return imageInspect(images.get(parameter('name')), apiVersion(request.raw));
}

async function history({ images }: DockerDeps, { parameter }: Call): Promise<unknown> {
  return imageHistory(images.get(parameter('name')));
}

async function tag(deps: DockerDeps, { query, reply, parameter }: Call): Promise<unknown> {
  const [repository, name] = [queryText(query, 'repo'), queryText(query, 'tag')];
  const target = name === '' ? repository : `${repository}:${name}`;
  await deps.images.tag(parameter('name'), target);
  publishImage(deps, { action: 'tag', image: deps.images.get(parameter('name')).id, attributes: { name: target } });
  return reply.code(201).send();
}

/** Which container keeps an image, for the words of a refusal. */
const usedBy =
  ({ containers }: DockerDeps): ((imageId: string) => string | null) =>
  (imageId) =>
    containers.list().find((container) => container.imageId === imageId)?.id ?? null;

/** A running one keeps it against force, too. */
const runningOn =
  ({ containers }: DockerDeps): ((imageId: string) => string | null) =>
  (imageId) =>
    containers.list().find((container) => container.imageId === imageId && container.state.process !== null)?.id ?? null;

async function remove(deps: DockerDeps, { query, parameter }: Call): Promise<unknown> {
  const name = parameter('name').trim();
  if (name === '') throw invalid('image name cannot be blank');
  const id = deps.images.get(name).id;
  const removed = await deps.images.remove(name, {
    force: queryBoolean(query, 'force'),
    noPrune: queryBoolean(query, 'noprune'),
    inUse: usedBy(deps),
    running: runningOn(deps),
  });
  tellRemovals(deps, removed, id);
  return removed.map(asDeleteItem);
}

type Removal = { readonly untagged?: string; readonly deleted?: string };

const asDeleteItem = ({ untagged, deleted }: Removal): Readonly<Record<string, string>> =>
  untagged === undefined ? { Deleted: deleted ?? '' } : { Untagged: untagged };

/** @param id of the image that was named, which is the actor of an `untag` */
function tellRemovals(deps: DockerDeps, removed: readonly Removal[], id: string | null): void {
  for (const { untagged, deleted } of removed) {
    if (untagged !== undefined) publishImage(deps, { action: 'untag', image: id ?? untagged });
    // Layers are told to the caller too, but no image goes with them.
    if (deleted !== undefined && (id === null || deleted === id)) publishImage(deps, { action: 'delete', image: deleted });
  }
}

async function prune(deps: DockerDeps, { query }: Call): Promise<unknown> {
  const filters = parseFilters(queryText(query, 'filters'));
  filters.accept(['dangling', 'label', 'label!', 'until']);
  const until = untilOf(deps, filters);
  const accepts = ({ created, config }: Image): boolean =>
    (until === null || Date.parse(created) < until) &&
    filters.labels('label', config.Labels ?? {}) &&
    !(filters.has('label!') && filters.labels('label!', config.Labels ?? {}));
  const { deleted, reclaimed } = await deps.images.prune({
    all: filters.boolean('dangling') === false,
    accepts,
    inUse: usedBy(deps),
  });
  tellRemovals(deps, deleted, null);
  return { ImagesDeleted: deleted.length === 0 ? null : deleted.map(asDeleteItem), SpaceReclaimed: reclaimed };
}
