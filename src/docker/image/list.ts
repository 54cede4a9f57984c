/** `GET /images/json`, and the filters that prune shares with it. */
import { invalid } from '../../base/errors.ts';
import type { Image } from '../../model/container.ts';
import { type Filters, parseFilters } from '../filters.ts';
import { queryBoolean, queryText } from '../query.ts';
import type { Call, DockerDeps } from '../route.ts';
import { parseTimestamp } from '../time.ts';
import { imageSummary } from './shape.ts';

const FILTERS = ['before', 'dangling', 'label', 'reference', 'since', 'until'];

export async function list(deps: DockerDeps, { request, query }: Call): Promise<unknown> {
  const filters = parseFilters(queryText(query, 'filters'));
  filters.accept(FILTERS);
  const legacy = queryText(query, 'filter');
  const dangling = filters.boolean('dangling');
  const before = boundary(deps, filters, 'before');
  const since = boundary(deps, filters, 'since');
  const until = untilOf(deps, filters);
  const patterns = [...filters.values('reference'), ...(legacy === '' ? [] : [legacy])];
  const { minor } = deps.apiVersion(request.raw);
  const shared = queryBoolean(query, 'shared-size') ? sharedSizes(deps.images.list()) : null;
  return deps.images
    .list()
    .filter(
      (image) =>
        (dangling === undefined || dangling === (image.tags.length === 0)) &&
        (before === null || image.created < before) &&
        (since === null || image.created > since) &&
        (until === null || Date.parse(image.created) < until) &&
        filters.labels('label', image.config.Labels ?? {}),
    )
    .map((image) => (patterns.length === 0 ? image : onlyMatching(image, patterns)))
    .filter((image) => image !== null)
    .sort((a, b) => (a.created < b.created ? 1 : -1))
    .map((image) => imageSummary(image, { minor, containers: -1, shared: shared?.get(image.id) ?? -1 }));
}

function boundary({ images }: DockerDeps, filters: Filters, key: string): string | null {
  const [name] = filters.values(key);
  return name === undefined ? null : images.get(name).created;
}

/** Milliseconds since the epoch, or null. @throws invalid for several */
export function untilOf({ clock }: DockerDeps, filters: Filters): number | null {
  const [until, ...others] = filters.values('until');
  if (others.length > 0) throw invalid('more than one until filter specified');
  return until === undefined ? null : parseTimestamp(until, clock.now());
}

/** The image with those of its names that a pattern matches; null when none does. */
function onlyMatching(image: Image, patterns: readonly string[]): Image | null {
  const matches = (reference: string): boolean => patterns.some((pattern) => matchesReference(pattern, reference));
  const tags = image.tags.filter(matches);
  const digests = image.digests.filter(matches);
  return tags.length + digests.length === 0 ? null : { ...image, tags, digests };
}

/** Go's `path.Match` on the reference as it is shown, and on its name alone. */
export function matchesReference(pattern: string, reference: string): boolean {
  const expression = globExpression(pattern);
  const name = reference.replace(/@.*$/, '').replace(/:[^:/]*$/, '');
  return expression.test(reference) || expression.test(name);
}

/** `*` and `?` do not cross a slash; `[a-z]` and `[^a]` are classes; a backslash takes the next character as it is. */
function globExpression(pattern: string): RegExp {
  const parts = pattern.match(/\\.|\[\^?(?:\\.|[^\]\\])+\]|[\s\S]/g) ?? [];
  const source = parts.map((part) => {
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    if (part.length > 1 && part.startsWith('[')) return part;
    return part.replace(/^\\(?=.)/, '').replace(/[\\^$.*+?()[\]{}|]/, '\\$&');
  });
  try {
    return new RegExp(`^${source.join('')}$`);
  } catch {
    throw invalid(`invalid filter 'reference=${pattern}': syntax error in pattern`);
  }
}

/** Bytes of each image in layers that another image has too, by image id. */
export function sharedSizes(images: readonly Image[]): ReadonlyMap<string, number> {
  const owners = new Map<string, number>();
  // Layers are the same when everything below them is the same too.
  const chains = new Map(
    images.map((image) => [image.id, image.layers.map((_, index) => image.layers.slice(0, index + 1).join(' '))]),
  );
  for (const chain of chains.values()) for (const layer of chain) owners.set(layer, (owners.get(layer) ?? 0) + 1);
  return new Map(
    images.map((image) => {
      const chain = chains.get(image.id) ?? [];
      const sizes = chain.map((layer, index) => ((owners.get(layer) ?? 0) > 1 ? (image.layerSizes?.[index] ?? 0) : 0));
      return [image.id, sizes.reduce((sum, size) => sum + size, 0)];
    }),
  );
}
