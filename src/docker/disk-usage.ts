/** `GET /system/df` */
import { invalid } from '../base/errors.ts';
import { sizesOf } from './container/list.ts';
import { containerSummary } from './container/summary.ts';
import { viewOf } from './container/view.ts';
import { sharedSizes } from './image/list.ts';
import { imageSummary } from './image/shape.ts';
import { queryAll } from './query.ts';
import type { Call, DockerDeps, DockerRoute } from './route.ts';
import { volumeShape, volumeUses } from './volumes.ts';

export const DISK_USAGE_ROUTES: readonly DockerRoute[] = [
  { method: 'GET', path: '/system/df', since: '1.25', summary: 'disk space of images, containers and volumes', handle: usage },
  // Nothing is built here, so that there is nothing to remove: `docker system prune` asks all the same.
  {
    method: 'POST',
    path: '/build/prune',
    since: '1.31',
    summary: 'remove the build cache, which is always empty',
    handle: async () => ({ CachesDeleted: null, SpaceReclaimed: 0 }),
  },
];

const TYPES = ['container', 'image', 'volume', 'build-cache'];

async function usage(deps: DockerDeps, { request, query }: Call): Promise<unknown> {
  const asked = queryAll(query, 'type');
  const unknown = asked.find((type) => !TYPES.includes(type));
  if (unknown !== undefined) throw invalid(`unknown object type: ${unknown}`);
  const wants = (type: string): boolean => asked.length === 0 || asked.includes(type);
  const { images, containers, apiVersion } = deps;
  const { minor } = apiVersion(request.raw);
  const all = images.list();
  const shared = sharedSizes(all);
  const used = containers.list();
  const uses = volumeUses(deps);
  return {
    ...(wants('image')
      ? {
          LayersSize: layersSize(all),
          Images: all.map((image) =>
            imageSummary(image, {
              minor,
              containers: used.filter(({ imageId }) => imageId === image.id).length,
              shared: shared.get(image.id) ?? 0,
            }),
          ),
        }
      : {}),
    ...(wants('container')
      ? {
          Containers: await Promise.all(
            used.map(async (container) =>
              containerSummary(viewOf(deps, container), deps.clock.now(), await sizesOf(deps, container)),
            ),
          ),
        }
      : {}),
    ...(wants('volume')
      ? {
          Volumes: await Promise.all(
            containers.volumes.list().map(async (volume) => ({
              ...volumeShape(volume),
              UsageData: { RefCount: uses.get(volume.name) ?? 0, Size: await containers.volumes.size(volume.name) },
            })),
          ),
        }
      : {}),
    ...(wants('build-cache') ? { BuildCache: [], BuilderSize: 0 } : {}),
  };
}

/** Bytes of all layers, each counted once. */
function layersSize(images: readonly { readonly layers: readonly string[]; readonly layerSizes?: readonly number[] }[]): number {
  const sizes = new Map<string, number>();
  for (const { layers, layerSizes } of images) {
    layers.forEach((_, index) => sizes.set(layers.slice(0, index + 1).join(' '), layerSizes?.[index] ?? 0));
  }
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}
