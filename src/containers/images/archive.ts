/**
 * An archive of images on disk while it is being loaded: its files under numbers in a workspace, found by the names they had. A name from the
 * archive is a key here and never a path, so that none can lead anywhere.
 */
import { join } from 'node:path';
import { invalid } from '../../base/errors.ts';
import { decompress } from './compression.ts';
import { Meter, sha256 } from './digest.ts';
import { readDocument, writeChunks } from './files.ts';
import type { Limits } from './programs.ts';
import type { Chunks } from './tar/bytes.ts';
import { readTar, showName } from './tar/read.ts';
import { bounded } from './unpack.ts';

export interface ArchiveFile {
  readonly path: string;
  readonly size: number;
}

/** Old `docker save` writes a layer once and links to it; a chain of links longer than this is a loop. */
const LINKS_MAX = 8;

export class Archive {
  readonly #files = new Map<string, ArchiveFile>();
  readonly #links = new Map<string, string>();
  readonly #limits: Limits;

  private constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** @throws invalid when it is no tar, ends too early, or is too large; exhausted when the disk is full */
  static async read(source: Chunks, workspace: string, limits: Limits): Promise<Archive> {
    const archive = new Archive(limits);
    const { plain } = await decompress(source, 'archive');
    const meter = new Meter(bounded(limits.bytes, 'archive'));
    let count = 0;
    for await (const { entry, body } of readTar(meter.through(plain), { what: 'archive', needsEnd: true })) {
      if (++count > limits.entries) throw invalid(`Cannot read archive: it has more than ${limits.entries} entries`);
      const name = normal(entry.name);
      if (entry.type === 'file') {
        const path = join(workspace, `file-${count}`);
        await writeChunks(path, body);
        archive.#files.set(name, { path, size: entry.size });
      } else if (entry.type === 'symbolic link') archive.#links.set(name, normal(`${name}/../${entry.linkname}`));
      else if (entry.type === 'hard link') archive.#links.set(name, normal(entry.linkname));
      else if (entry.type !== 'directory') throw invalid(`Cannot read archive: entry ${showName(entry.name)} is a ${entry.type}`);
    }
    return archive;
  }

  has(name: string): boolean {
    return this.#find(name) !== null;
  }

  /** @throws invalid when there is no such file */
  file(name: string): ArchiveFile {
    const file = this.#find(name);
    if (!file) throw invalid(`Cannot read archive: ${showName(name)} is missing`);
    return file;
  }

  /** A small file, whole. */
  document(name: string): Promise<Buffer> {
    return readDocument(this.file(name).path, this.#limits.document, showName(name));
  }

  /** A small file named by its digest (OCI image-layout). @throws invalid when it has another */
  async blob(digest: string): Promise<Buffer> {
    const data = await this.document(blobName(digest));
    const actual = sha256(data);
    if (actual !== digest) throw invalid(`Cannot use blob ${digest}: wrong digest: its content is ${actual}`);
    return data;
  }

  #find(name: string): ArchiveFile | null {
    let at = normal(name);
    for (let links = 0; links < LINKS_MAX; links++) {
      const file = this.#files.get(at);
      if (file) return file;
      const next = this.#links.get(at);
      if (next === undefined) return null;
      at = next;
    }
    return null;
  }
}

export const blobName = (digest: string): string => `blobs/${digest.replace(':', '/')}`;

/** Without `.`, `..` and doubled slashes; `..` above the root stays there. */
function normal(name: string): string {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}
