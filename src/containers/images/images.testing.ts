/** What the tests of images share. */
import { createReadStream, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { silentLogger } from '../../base/clock.ts';
import type { Images, Progress } from '../../contracts/containers.ts';
import type { Store } from '../../contracts/store.ts';
import { createMemoryStore } from '../../store/memory/store.ts';
import { createImages, type ImagesOptions } from './images.ts';
import type { Entry } from './tar/read.ts';
import { END, entryOf, headerOf, pad } from './tar/write.ts';

export const NEVER = new AbortController().signal;
export const NOW = Date.UTC(2026, 10, 30, 12);

/** A folder that goes away. */
export function scratch(): Disposable & { readonly path: (name: string) => string; readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'moor-images-'));
  return {
    folder,
    path: (name) => join(folder, name),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export interface TestImages {
  readonly images: Images;
  readonly store: Store;
  readonly dataRoot: string;
  readonly lines: Progress[];
  readonly load: (path: string | Buffer) => Promise<readonly string[]>;
  /** All that a store without images must not have: layers, configurations, half-made things, rows. */
  readonly leftovers: () => Promise<readonly string[]>;
}

export async function openImages(dataRoot: string, options: Partial<ImagesOptions> = {}): Promise<TestImages> {
  const store = options.store ?? createMemoryStore();
  const images = await createImages({ dataRoot, clock: { now: () => NOW }, logger: silentLogger, ...options, store });
  const lines: Progress[] = [];
  const progress = (line: Progress): void => void lines.push(line);
  return {
    images,
    store,
    dataRoot,
    lines,
    load: (from) =>
      images.load(typeof from === 'string' ? createReadStream(from) : Readable.from([from]), { progress, signal: NEVER }),
    leftovers: async () => {
      const files = ['l', 'tmp', 'configs'].flatMap((name) =>
        readdirSync(join(dataRoot, 'images', name)).map((file) => `${name}/${file}`),
      );
      const rows = (await store.list('')).entries.map(({ key }) => key);
      return [...files, ...rows];
    },
  };
}

export type TestEntry = Partial<Entry> & { readonly name: string; readonly content?: string };

/** A tar of exactly these entries, however wrong they are. */
export function tarOf(...entries: readonly TestEntry[]): Buffer {
  const parts = entries.map(({ content, ...entry }) => {
    const body = Buffer.from(content ?? '');
    const type = entry.type ?? (entry.name.endsWith('/') ? 'directory' : 'file');
    return Buffer.concat([headerOf(entryOf({ size: body.length, ...entry, type })), body, pad(body.length)]);
  });
  return Buffer.concat([...parts, END]);
}

export function writeTar(path: string, ...entries: readonly TestEntry[]): string {
  writeFileSync(path, tarOf(...entries));
  return path;
}
