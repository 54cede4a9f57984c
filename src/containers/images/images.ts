/** Images: the store on disk behind `Images` of the contracts. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Logger } from '../../base/clock.ts';
import { invalid, MoorError } from '../../base/errors.ts';
import { KeyedLock } from '../../base/keyed-lock.ts';
import type { Images } from '../../contracts/containers.ts';
import type { Store } from '../../contracts/store.ts';
import { Catalogue } from './catalogue.ts';
import { importRoot } from './import.ts';
import { NAMES } from './ingest.ts';
import { insecureRegistries } from './insecure.ts';
import { LayerStore } from './layers.ts';
import { load } from './load.ts';
import { type Limits, LIMITS, type Programs, PROGRAMS } from './programs.ts';
import { pull } from './pull.ts';
import { parseReference, withTag } from './reference.ts';
import { prune, remove } from './remove.ts';
import { save } from './save.ts';

export interface ImagesOptions {
  /** Everything is below `<dataRoot>/images`. */
  readonly dataRoot: string;
  /** Rows `image/<id>` and `tag/<name>`. */
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly programs?: Partial<Programs>;
  readonly limits?: Partial<Limits>;
  /** `host`, `host:port` or CIDR; loopback always is. */
  readonly insecureRegistries?: readonly string[];
}

/** Resolves when what is on disk has been read and the leftovers of a crash are gone. */
export async function createImages(options: ImagesOptions): Promise<Images> {
  const { dataRoot, store, clock, logger } = options;
  const root = join(dataRoot, 'images');
  const programs = { ...PROGRAMS, ...options.programs };
  const limits = { ...LIMITS, ...options.limits };
  // Containers with users of their own look files up through it: to be passed, not listed.
  await mkdir(root, { recursive: true, mode: 0o711 });
  const layers = await LayerStore.open(root, { programs, limits, logger });
  const catalogue = await Catalogue.open(root, { store, layers, logger });
  const ports = {
    layers,
    catalogue,
    lock: new KeyedLock(),
    limits,
    clock,
    skopeo: programs.skopeo,
    isInsecure: insecureRegistries(options.insecureRegistries ?? []),
  };
  const swept = await layers.collect(catalogue.used());
  if (swept.length > 0) logger.info({ layers: swept.length }, 'removed layers that no image uses');
  for (const { id, chain } of catalogue.all) {
    const lost = chain.filter((each) => !layers.has(each));
    if (lost.length > 0) logger.error({ image: id, layers: lost }, 'an image lacks layers: load or pull it again');
  }
  return {
    list: () => catalogue.all.map((stored) => catalogue.show(stored)),
    get: (reference) => catalogue.show(catalogue.find(reference)),
    load: (archive, how) => load(ports, archive, how),
    save: async (references) => save(ports, references),
    import: (tar, how) => importRoot(ports, tar, how),
    pull: (reference, how) => pull(ports, reference, how),
    tag: async (reference, target) => {
      using _held = await ports.lock.hold(NAMES);
      const { id } = catalogue.find(reference);
      const name = withTag(parseReference(target));
      if (name.digest !== null) throw invalid('refusing to create a tag with a digest reference');
      await catalogue.commit({ tag: [{ reference: name, id }] });
    },
    remove: (reference, how) => remove(ports, reference, how),
    prune: (how) => prune(ports, how),
    lower: (imageId) => {
      const { id, chain } = catalogue.find(imageId);
      const lost = chain.find((each) => !layers.has(each));
      if (lost !== undefined) throw new MoorError('unavailable', `Cannot use image ${id}: layer ${lost} is missing on disk`);
      return chain.map((each) => layers.directory(each)).reverse();
    },
  };
}
