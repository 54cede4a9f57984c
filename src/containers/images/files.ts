/** Small things about files on disk. */
import { createReadStream } from 'node:fs';
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { exhausted, invalid, MoorError } from '../../base/errors.ts';
import type { Chunks } from './tar/bytes.ts';

/** Large chunks: each one costs a trip through the event loop. Bytes. */
const CHUNK = 256 * 1024;

export const readChunks = (path: string): Chunks => createReadStream(path, { highWaterMark: CHUNK }) as Chunks;

/** @throws invalid when it is larger than `limit` bytes */
export async function readDocument(path: string, limit: number, what: string): Promise<Buffer> {
  const { size } = await stat(path);
  if (size > limit) throw invalid(`Cannot read ${what}: it has ${size} bytes, at most ${limit} are read`);
  return readFile(path);
}

/**
 * A stream that somebody else owns: it is left open when reading stops early, so that a door can still answer on its connection.
 * @throws cancelled by the signal, also while nothing comes
 */
export async function* incoming(source: Readable, signal: AbortSignal): AsyncGenerator<Buffer, void> {
  const stop = (): void => void source.destroy(cancelled(signal));
  if (signal.aborted) throw cancelled(signal);
  signal.addEventListener('abort', stop);
  try {
    for await (const chunk of source.iterator({ destroyOnReturn: false })) yield chunk as Buffer;
  } catch (error) {
    throw signal.aborted ? cancelled(signal) : error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

const cancelled = (signal: AbortSignal): MoorError =>
  new MoorError('cancelled', 'reading was cancelled', { cause: signal.reason });

/** Writes a new file to its end; it is not on disk before a sync. */
export async function writeChunks(path: string, chunks: Chunks): Promise<void> {
  await fillsDisk(() => writeFile(path, chunks, { flag: 'wx', mode: 0o600 }));
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  await handle.sync();
}

/** A full disk, in Docker's words. */
export async function fillsDisk<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')) {
      throw exhausted(`Cannot write image data: ${error.code === 'ENOSPC' ? 'no space left on device' : 'disk quota exceeded'}`);
    }
    throw error;
  }
}
