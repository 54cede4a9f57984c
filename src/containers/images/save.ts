/** `docker save`: one archive that Docker, skopeo and podman load. Its bytes depend on the images alone. */
import { Readable } from 'node:stream';
import { invalid, MoorError } from '../../base/errors.ts';
import type { StoredImage } from './config.ts';
import { hexOf } from './digest.ts';
import { DOCKER_MANIFEST } from './docker-archive.ts';
import { collect, type Stores } from './ingest.ts';
import type { Layer } from './layers.ts';
import { familiarName, familiarText, parseReference, type Reference } from './reference.ts';
import { END, entryOf, fileOf, headerOf, pad } from './tar/write.ts';

interface Chosen {
  readonly stored: StoredImage;
  readonly tags: readonly Reference[];
}

/**
 * @returns the archive; layers stay until it has been read or destroyed
 * @throws not-found `No such image: x`
 */
export function save(stores: Stores, references: readonly string[]): Readable {
  if (references.length === 0) throw invalid('no images were named to save');
  const chosen = choose(stores, references);
  const missing = chosen.flatMap(({ stored }) => stored.chain).find((id) => !stores.layers.has(id));
  if (missing !== undefined) throw new MoorError('unavailable', `Cannot save: layer ${missing} is missing on disk`);
  const pins = stores.layers.pin(chosen.flatMap(({ stored }) => stored.chain));
  const stream = Readable.from(write(stores, chosen), { objectMode: false });
  stream.once('close', () => {
    pins[Symbol.dispose]();
    // What could not be removed now is removed by the next change, or start.
    collect(stores).catch(() => {});
  });
  return stream;
}

/** A name without tag means all tags of the repository; an id brings no tag along. */
function choose({ catalogue }: Stores, references: readonly string[]): readonly Chosen[] {
  const byId = new Map<string, { stored: StoredImage; tags: Map<string, Reference> }>();
  const add = (stored: StoredImage, tags: readonly Reference[]): void => {
    const item = byId.get(stored.id) ?? { stored, tags: new Map<string, Reference>() };
    for (const tag of tags) item.tags.set(familiarText(tag), tag);
    byId.set(stored.id, item);
  };
  for (const text of references) {
    const reference = /^sha256:|^[0-9a-f]{64}$/.test(text) ? null : parseReference(text);
    const isBare = reference !== null && reference.tag === null && reference.digest === null;
    const tags = reference === null ? [] : isBare ? catalogue.tagsOf(reference) : [reference];
    const named = tags.flatMap((tag) => {
      const stored = catalogue.named(tag);
      return stored ? [{ stored, tag }] : [];
    });
    for (const { stored, tag } of named) add(stored, tag.digest === null ? [tag] : []);
    if (named.length === 0) add(catalogue.find(text), []);
  }
  return [...byId.values()].map(({ stored, tags }) => ({ stored, tags: [...tags.values()] }));
}

async function* write({ layers }: Stores, chosen: readonly Chosen[]): AsyncGenerator<Buffer, void> {
  const written = new Set<string>();
  const repositories: Record<string, Record<string, string>> = {};
  const manifest: object[] = [];
  for (const { stored, tags } of chosen) {
    for (const [index, chainId] of stored.chain.entries()) {
      const layer = layers.get(chainId);
      if (written.has(chainId)) continue;
      if (!layer) throw new MoorError('unavailable', `Cannot save ${stored.id}: layer ${chainId} is missing on disk`);
      written.add(chainId);
      yield* writeLayer({ layer, parent: stored.chain[index - 1] ?? null, tar: await layers.tar(layer) });
    }
    const config = `${hexOf(stored.id)}.json`;
    if (!written.has(config)) yield fileOf(config, stored.bytes);
    written.add(config);
    manifest.push({
      Config: config,
      RepoTags: tags.length > 0 ? tags.map(familiarText) : null,
      Layers: stored.chain.map((id) => `${hexOf(id)}/layer.tar`),
    });
    const top = stored.chain.at(-1);
    for (const tag of tags) {
      if (top !== undefined && tag.tag !== null) (repositories[familiarName(tag)] ??= {})[tag.tag] = hexOf(top);
    }
  }
  yield fileOf(DOCKER_MANIFEST, Buffer.from(`${JSON.stringify(manifest)}\n`));
  if (Object.keys(repositories).length > 0) yield fileOf('repositories', Buffer.from(`${JSON.stringify(repositories)}\n`));
  yield END;
}

/** A folder of the old format (Docker image spec v1), which is what `repositories` refers to. */
async function* writeLayer(item: {
  readonly layer: Layer;
  readonly parent: string | null;
  readonly tar: AsyncIterable<Buffer>;
}): AsyncGenerator<Buffer, void> {
  const { layer, parent, tar } = item;
  const folder = hexOf(layer.chainId);
  yield headerOf(entryOf({ name: `${folder}/`, type: 'directory' }));
  yield fileOf(`${folder}/VERSION`, Buffer.from('1.0'));
  const old = { id: folder, ...(parent === null ? {} : { parent: hexOf(parent) }), created: '1970-01-01T00:00:00Z', os: 'linux' };
  yield fileOf(`${folder}/json`, Buffer.from(JSON.stringify(old)));
  yield headerOf(entryOf({ name: `${folder}/layer.tar`, type: 'file', size: layer.tarSize }));
  let left = layer.tarSize;
  for await (const chunk of tar) {
    left -= chunk.length;
    if (left < 0) break;
    yield chunk;
  }
  if (left !== 0)
    throw new MoorError(
      'internal',
      `Cannot save layer ${layer.diffId}: its file on disk has another size than ${layer.tarSize} bytes`,
    );
  yield pad(layer.tarSize);
}
