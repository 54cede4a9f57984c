/**
 * Which images and names there are. Memory answers; the store remembers: a row `image/<id>` for each image, `tag/<full name>` -> id for each name.
 * The configuration's bytes are in `configs/<hex>.json`, written and synced before the row.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../base/clock.ts';
import { MoorError, notFound } from '../../base/errors.ts';
import type { Store, Write } from '../../contracts/store.ts';
import type { Image } from '../../model/container.ts';
import { parseConfig, type StoredImage } from './config.ts';
import { hexOf, sha256 } from './digest.ts';
import { fillsDisk } from './files.ts';
import type { LayerStore } from './layers.ts';
import {
  familiarName,
  familiarText,
  fullName,
  fullText,
  isDigest,
  parseReference,
  type Reference,
  withTag,
} from './reference.ts';

/** One transaction on the names. */
export interface CatalogueChange {
  readonly add?: readonly StoredImage[];
  /** Ids of images whose names are gone or going. */
  readonly drop?: readonly string[];
  readonly tag?: readonly { readonly reference: Reference; readonly id: string }[];
  readonly untag?: readonly Reference[];
}

export class Catalogue {
  readonly #root: string;
  readonly #store: Store;
  readonly #layers: LayerStore;
  readonly #images = new Map<string, StoredImage>();
  /** Full name -> name and image id. */
  readonly #names = new Map<string, { readonly reference: Reference; readonly id: string }>();

  private constructor(root: string, { store, layers }: { readonly store: Store; readonly layers: LayerStore }) {
    this.#root = root;
    this.#store = store;
    this.#layers = layers;
  }

  static async open(
    root: string,
    ports: { readonly store: Store; readonly layers: LayerStore; readonly logger: Logger },
  ): Promise<Catalogue> {
    const catalogue = new Catalogue(root, ports);
    await mkdir(catalogue.#configs, { recursive: true, mode: 0o700 });
    await catalogue.#restore(ports.logger);
    return catalogue;
  }

  get all(): readonly StoredImage[] {
    return [...this.#images.values()];
  }

  /** Chain ids of all layers of all images. */
  used(): ReadonlySet<string> {
    return new Set(this.all.flatMap(({ chain }) => chain));
  }

  byId(id: string): StoredImage | null {
    return this.#images.get(id) ?? null;
  }

  /** Names of an image, tags before digests, each in order. */
  references(id: string): readonly Reference[] {
    const found = [...this.#names.values()].filter((name) => name.id === id).map(({ reference }) => reference);
    const rank = (reference: Reference): string => `${reference.digest === null ? 0 : 1} ${fullText(reference)}`;
    return found.sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
  }

  /** The image of exactly this name. */
  named(reference: Reference): StoredImage | null {
    const name = this.#names.get(fullText(keyOf(reference)));
    return name ? this.byId(name.id) : null;
  }

  /** Tags of one repository. */
  tagsOf(repository: Reference): readonly Reference[] {
    const all = [...this.#names.values()].map(({ reference }) => reference);
    return all.filter((reference) => reference.digest === null && fullName(reference) === fullName(repository));
  }

  /**
   * By name, digest, id or unambiguous id prefix, in Docker's order.
   * @throws not-found `No such image: x`, invalid for what cannot be a reference
   */
  find(text: string): StoredImage {
    const byId = isDigest(text) ? this.byId(text) : /^[0-9a-f]{64}$/.test(text) ? this.byId(`sha256:${text}`) : null;
    if (byId) return byId;
    if (isDigest(text) || /^[0-9a-f]{64}$/.test(text))
      throw notFound(`No such image: ${isDigest(text) ? text : `sha256:${text}`}`);
    const prefix = this.#byPrefix(text);
    if (text.startsWith('sha256:') && prefix) return prefix;
    const reference = withTag(parseReference(text));
    const image = this.named(reference) ?? prefix;
    if (!image) throw notFound(`No such image: ${familiarText(reference)}`);
    return image;
  }

  /** @throws unavailable when a layer is not on disk */
  show(stored: StoredImage): Image {
    const references = this.references(stored.id);
    const sizes = stored.chain.map((id) => this.#layers.get(id)?.size ?? 0);
    return {
      ...stored.image,
      tags: references.filter(({ digest }) => digest === null).map(familiarText),
      digests: references.flatMap((each) => (each.digest === null ? [] : [`${familiarName(each)}@${each.digest}`])),
      size: sizes.reduce((sum, size) => sum + size, 0),
      layerSizes: sizes,
    };
  }

  /** Writes configurations, to be synced before `commit`. */
  async write(images: readonly StoredImage[]): Promise<void> {
    for (const { id, bytes } of images) {
      if (this.#images.has(id)) continue;
      await fillsDisk(() => writeFile(this.#config(id), bytes, { mode: 0o600 }));
    }
  }

  /**
   * On disk when it resolves. What goes is gone from memory at once, before anything is waited for: who has just seen that an image is not in
   * use can take it away without somebody starting to use it meanwhile.
   */
  async commit({ add = [], drop = [], tag = [], untag = [] }: CatalogueChange): Promise<void> {
    const writes = new Map<string, Write>();
    const put = (write: Write): void => void writes.set(write.key, write);
    for (const { id } of add) if (!this.#images.has(id)) put({ type: 'put', key: `image/${id}`, value: '{}' });
    for (const reference of untag) put({ type: 'delete', key: `tag/${fullText(reference)}` });
    for (const { reference, id } of tag) put({ type: 'put', key: `tag/${fullText(reference)}`, value: id });
    for (const id of drop) put({ type: 'delete', key: `image/${id}` });
    const before = { images: new Map(this.#images), names: new Map(this.#names) };
    for (const reference of untag) this.#names.delete(fullText(reference));
    for (const id of drop) this.#images.delete(id);
    try {
      if (writes.size > 0) await this.#store.commit([...writes.values()]);
    } catch (error) {
      // The lock on names is held: nobody else has changed them.
      for (const [id, image] of before.images) this.#images.set(id, image);
      for (const [name, value] of before.names) this.#names.set(name, value);
      throw error;
    }
    for (const image of add) this.#images.set(image.id, image);
    for (const { reference, id } of tag) this.#names.set(fullText(reference), { reference, id });
    for (const id of drop) await rm(this.#config(id), { force: true });
  }

  /** A prefix of the hexadecimal id, with or without `sha256:`. Docker calls an ambiguous one no image, too. */
  #byPrefix(text: string): StoredImage | null {
    const hex = text.startsWith('sha256:') ? hexOf(text) : text;
    if (!/^[0-9a-f]{1,64}$/.test(hex)) return null;
    const found = this.all.filter(({ id }) => hexOf(id).startsWith(hex));
    return found.length === 1 ? (found[0] ?? null) : null;
  }

  async #restore(logger: Logger): Promise<void> {
    const ids = (await this.#store.list('image/')).entries.map(({ key }) => key.slice('image/'.length));
    for (const id of ids) {
      try {
        const bytes = await readFile(this.#config(id));
        if (sha256(bytes) !== id) throw new MoorError('internal', 'its configuration has another digest');
        this.#images.set(id, parseConfig(bytes));
      } catch (error) {
        logger.error({ image: id, error: String(error) }, 'an image cannot be read and is left out');
      }
    }
    for (const { key, value } of (await this.#store.list('tag/')).entries) {
      const reference = parseReference(key.slice('tag/'.length));
      if (this.#images.has(value)) this.#names.set(fullText(reference), { reference, id: value });
    }
    const known = new Set(ids.map((id) => `${hexOf(id)}.json`));
    for (const file of await readdir(this.#configs)) if (!known.has(file)) await rm(join(this.#configs, file), { force: true });
  }

  get #configs(): string {
    return join(this.#root, 'configs');
  }

  #config(id: string): string {
    return join(this.#configs, `${hexOf(id)}.json`);
  }
}

/** A digest names by itself: the tag beside it is for people. */
const keyOf = (reference: Reference): Reference => (reference.digest === null ? reference : { ...reference, tag: null });
