/**
 * Layers on disk, each once, by chain id, shared by all images that are built on it. `l/<first 16 digits of the chain id>/` holds
 *
 *   d/           the unpacked layer, an overlayfs lower directory
 *   blob         the tar as it was received, so that `save` gives it back bit by bit
 *   layer.json   what it is
 *
 * The names are short because the options of an overlay mount share one page of 4,096 bytes: at /var/lib/moor some 95 layers fit.
 * A folder gets its name by rename(2) when it is complete, verified and synced; until then it is in `tmp/`, which is emptied at start.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { conflict, invalid, MoorError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { Logger } from '../../base/clock.ts';
import { type Compression, decompress } from './compression.ts';
import { chainIds, hexOf, Meter } from './digest.ts';
import { fillsDisk, readChunks, syncDirectory } from './files.ts';
import { run } from './process.ts';
import type { Limits, Programs } from './programs.ts';
import type { Chunks } from './tar/bytes.ts';
import { bounded, unpack } from './unpack.ts';

export interface Layer {
  readonly chainId: string;
  /** Digest of the plain tar. */
  readonly diffId: string;
  /** Digest of the tar as it was received. */
  readonly blobId: string;
  readonly compression: Compression;
  /** bytes in files, unpacked */
  readonly size: number;
  /** bytes of the plain tar */
  readonly tarSize: number;
}

/** A layer complete in a workspace, not visible yet. */
export interface Prepared extends Layer {
  readonly path: string;
}

export interface LayerSource {
  /** The tar as received, in a workspace; becomes part of the layer. */
  readonly blob: string;
  /** Null: whatever it is (import). */
  readonly diffId: string | null;
  /** Which layer of its image, from 0, for messages. */
  readonly index: number;
  /** When the blob was named by its digest. */
  readonly blobId?: string;
  /** Chain id of the layer below; null for the lowest. */
  readonly parent: string | null;
  /** bytes of the blob read so far */
  readonly onProgress?: (bytes: number) => void;
}

const NAME_DIGITS = 16;

export class LayerStore {
  readonly #root: string;
  readonly #programs: Programs;
  readonly #limits: Limits;
  readonly #layers = new Map<string, Layer>();
  /** Chain id -> operations that need it to stay. */
  readonly #pins = new Map<string, number>();

  private constructor(root: string, { programs, limits }: { readonly programs: Programs; readonly limits: Limits }) {
    this.#root = root;
    this.#programs = programs;
    this.#limits = limits;
  }

  /** Reads what is there, and removes what a crash has left half made. */
  static async open(
    root: string,
    options: { readonly programs: Programs; readonly limits: Limits; readonly logger: Logger },
  ): Promise<LayerStore> {
    const store = new LayerStore(root, options);
    await rm(store.#tmp, { recursive: true, force: true });
    await mkdir(store.#tmp, { recursive: true, mode: 0o700 });
    await mkdir(join(root, 'l'), { recursive: true, mode: 0o711 });
    for (const name of await readdir(join(root, 'l'))) {
      const layer = await readLayer(join(root, 'l', name));
      if (layer !== null && nameOf(layer.chainId) === name) store.#layers.set(layer.chainId, layer);
      else {
        options.logger.warn({ folder: name }, 'removed a folder among the image layers that is not a layer');
        await store.#discard(name);
      }
    }
    return store;
  }

  get(chainId: string): Layer | null {
    return this.#layers.get(chainId) ?? null;
  }

  /** bytes in files of all layers */
  size(): number {
    return [...this.#layers.values()].reduce((sum, { size }) => sum + size, 0);
  }

  has(chainId: string): boolean {
    return this.#layers.has(chainId);
  }

  directory(chainId: string): string {
    return join(this.#root, 'l', nameOf(chainId), 'd');
  }

  /** The plain tar. */
  async tar(layer: Layer): Promise<Chunks> {
    const { plain } = await decompress(readChunks(join(this.#root, 'l', nameOf(layer.chainId), 'blob')), `layer ${layer.diffId}`);
    return plain;
  }

  /** A folder on the same file system; gone with everything in it when disposed. */
  async workspace(): Promise<AsyncDisposable & { readonly path: string }> {
    const path = join(this.#tmp, newId().slice(0, NAME_DIGITS));
    await fillsDisk(() => mkdir(path, { mode: 0o700 }));
    return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
  }

  /**
   * Keeps layers from being removed, whether they are there already or not, until disposed. Call `collect` after.
   */
  pin(chain: readonly string[]): Disposable {
    for (const id of chain) this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        for (const id of chain) {
          const left = (this.#pins.get(id) ?? 1) - 1;
          if (left > 0) this.#pins.set(id, left);
          else this.#pins.delete(id);
        }
      },
    };
  }

  /**
   * Unpacks and verifies a layer in a workspace.
   * @throws invalid for a wrong digest or a hostile entry, exhausted for a full disk
   */
  async prepare(source: LayerSource, workspace: string, signal: AbortSignal): Promise<Prepared> {
    const path = join(workspace, newId().slice(0, NAME_DIGITS));
    const what = source.diffId === null ? 'archive' : `layer ${source.diffId}`;
    await fillsDisk(() => mkdir(path, { mode: 0o700 }));
    const received = new Meter(source.onProgress);
    const tar = new Meter(bounded(this.#limits.bytes, what));
    const { compression, plain } = await decompress(received.through(readChunks(source.blob)), what);
    const options = {
      directory: join(path, 'd'),
      what,
      needsEnd: source.diffId === null,
      programs: this.#programs,
      limits: this.#limits,
    };
    const size = await unpack(tar.through(plain), options, signal);
    const blobId = received.digest();
    if (source.blobId !== undefined && blobId !== source.blobId) {
      throw invalid(`filesystem layer verification failed for digest ${source.blobId}`);
    }
    const diffId = tar.digest();
    if (source.diffId !== null && diffId !== source.diffId) {
      throw invalid(`invalid diffID for layer ${source.index}: expected "${source.diffId}", got "${diffId}"`);
    }
    const chainId = chainIds(source.parent === null ? [diffId] : [source.parent, diffId]).at(-1) ?? diffId;
    const layer: Layer = { chainId, diffId, blobId, compression, size, tarSize: tar.bytes };
    await rename(source.blob, join(path, 'blob'));
    await fillsDisk(() => writeFile(join(path, 'layer.json'), JSON.stringify(layer), { flag: 'wx', mode: 0o600 }));
    return { ...layer, path };
  }

  /** Everything written below the store's folder is on disk after it. */
  async sync(signal: AbortSignal): Promise<void> {
    const { code, stderr } = await run(this.#programs.sync, { args: ['-f', this.#tmp], signal });
    if (code !== 0) throw new MoorError('internal', `Cannot sync image data: ${stderr.trim()}`);
  }

  /** Makes synced layers visible; one that is there already stays as it is. */
  async publish(prepared: readonly Prepared[]): Promise<void> {
    for (const { path, ...layer } of prepared) {
      if (this.#layers.has(layer.chainId)) continue;
      const target = join(this.#root, 'l', nameOf(layer.chainId));
      if (existsSync(target))
        throw conflict(`Cannot keep layer ${layer.chainId}: another layer's id begins with the same ${NAME_DIGITS} digits`);
      await rename(path, target);
      this.#layers.set(layer.chainId, layer);
    }
    await syncDirectory(join(this.#root, 'l'));
  }

  /**
   * Removes layers that nothing holds, top first.
   * @param used chain ids of all images
   * @returns what was removed
   */
  async collect(used: ReadonlySet<string>): Promise<readonly Layer[]> {
    const unused = [...this.#layers.values()].filter(({ chainId }) => !used.has(chainId) && !this.#pins.has(chainId));
    for (const { chainId } of unused) this.#layers.delete(chainId);
    for (const { chainId } of unused) await this.#discard(nameOf(chainId));
    return unused.reverse();
  }

  get #tmp(): string {
    return join(this.#root, 'tmp');
  }

  /** Out of sight in one step, then away bit by bit. */
  async #discard(name: string): Promise<void> {
    const grave = join(this.#tmp, newId().slice(0, NAME_DIGITS));
    await rename(join(this.#root, 'l', name), grave);
    await rm(grave, { recursive: true, force: true });
  }
}

const nameOf = (chainId: string): string => hexOf(chainId).slice(0, NAME_DIGITS);

async function readLayer(folder: string): Promise<Layer | null> {
  try {
    const layer = JSON.parse(await readFile(join(folder, 'layer.json'), 'utf8')) as Layer;
    return existsSync(join(folder, 'd')) && existsSync(join(folder, 'blob')) ? layer : null;
  } catch {
    return null;
  }
}
