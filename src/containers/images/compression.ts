/** Compressed streams, told by their first bytes. */
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { invalid } from '../../base/errors.ts';
import type { Chunks } from './tar/bytes.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

/** RFC 1952 section 2.3.1, RFC 8878 section 3.1.1, and formats that are known and not read. */
const MAGIC: readonly (readonly [format: Exclude<Compression, 'none'> | 'bzip2' | 'xz', bytes: readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];
const MAGIC_BYTES = 6;

/**
 * The plain bytes of a stream.
 * @param what for messages: `archive`
 * @throws invalid for a format that is not read; while reading, for one that is damaged
 */
export async function decompress(
  source: Chunks,
  what: string,
): Promise<{ readonly compression: Compression; readonly plain: Chunks }> {
  const { head, all } = await peek(source);
  const format = MAGIC.find(([, bytes]) => bytes.every((byte, at) => head[at] === byte))?.[0] ?? 'none';
  switch (format) {
    case 'none':
      return { compression: format, plain: all };
    case 'gzip':
      return { compression: format, plain: inflate(all, createGunzip(), what) };
    case 'zstd':
      return { compression: format, plain: inflate(all, createZstdDecompress(), what) };
    default:
      await all.return();
      throw invalid(`Cannot read ${what}: ${format} compression is not supported`);
  }
}

async function* inflate(source: Chunks, inflater: Gunzip | ZstdDecompress, what: string): AsyncGenerator<Buffer, void> {
  const input = Readable.from(source);
  const fed = pipeline(input, inflater).then(
    () => null,
    (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
  );
  try {
    for await (const chunk of inflater) yield chunk as Buffer;
    const error = await fed;
    if (error) throw error;
  } catch (error) {
    throw isZlib(error) ? invalid(`Cannot read ${what}: ${error.message}`) : error;
  } finally {
    input.destroy();
    inflater.destroy();
    await fed;
  }
}

const isZlib = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && /^(Z_|ZSTD_)/.test(error.code);

async function peek(source: Chunks): Promise<{ readonly head: Buffer; readonly all: AsyncGenerator<Buffer, void> }> {
  const chunks = source[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  while (head.length < MAGIC_BYTES) {
    const next = await chunks.next();
    if (next.done) break;
    head = Buffer.concat([head, next.value]);
  }
  return { head, all: joined(head, chunks) };
}

async function* joined(head: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void> {
  try {
    if (head.length > 0) yield head;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
  } finally {
    await chunks.return?.();
  }
}
