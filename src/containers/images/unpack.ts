/**
 * Unpacks a layer into an empty directory. The archive is read and judged here (layer-rules.ts); GNU tar, which does the writing, is fed entries
 * that were encoded anew: it never sees a byte of a foreign header, so there is no second reader to disagree with the first.
 */
import { mkdir } from 'node:fs/promises';
import { exhausted, invalid, MoorError } from '../../base/errors.ts';
import { LayerRules } from './layer-rules.ts';
import { run } from './process.ts';
import type { Limits, Programs } from './programs.ts';
import type { Chunks } from './tar/bytes.ts';
import { type Read, readTar } from './tar/read.ts';
import { END, headerOf, pad } from './tar/write.ts';

export interface UnpackOptions {
  /** Must not exist. */
  readonly directory: string;
  /** For messages: `layer sha256:…`. */
  readonly what: string;
  readonly needsEnd: boolean;
  readonly programs: Programs;
  readonly limits: Limits;
}

/** Headers of small files are sent together: bytes. */
const BATCH = 64 * 1024;

/**
 * @param tar plain
 * @returns bytes in files
 * @throws invalid naming the entry; exhausted when the disk is full
 */
export async function unpack(tar: Chunks, options: UnpackOptions, signal: AbortSignal): Promise<number> {
  const { directory, what, programs, limits, needsEnd } = options;
  await mkdir(directory, { mode: 0o755 });
  const rules = new LayerRules({ entries: limits.entries });
  const read = readTar(tar, { what, needsEnd });
  const owners = ['--preserve-permissions', '--same-owner', '--numeric-owner', '--xattrs', '--xattrs-include=*'];
  const args = [
    '--extract',
    '--file=-',
    `--directory=${directory}`,
    ...owners,
    '--delay-directory-restore',
    '--warning=no-timestamp',
  ];
  try {
    const { code, stderr } = await run(programs.tar, { args, input: batched(encode(read, rules)), signal });
    if (code !== 0) throw tarFailure(stderr, code);
  } catch (error) {
    throw within(error, what);
  }
  return rules.bytes;
}

async function* encode(entries: AsyncIterable<Read>, rules: LayerRules): AsyncGenerator<Buffer, void> {
  for await (const { entry, body } of entries) {
    const accepted = rules.accept(entry);
    for (const each of accepted) yield headerOf(each);
    if (accepted.length === 0 || entry.size === 0) continue;
    yield* body;
    yield pad(entry.size);
  }
  for (const each of rules.finish()) yield headerOf(each);
  yield END;
}

async function* batched(parts: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let held: Buffer[] = [];
  let bytes = 0;
  for await (const part of parts) {
    held.push(part);
    bytes += part.length;
    if (bytes < BATCH) continue;
    yield Buffer.concat(held, bytes);
    held = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(held, bytes);
}

function tarFailure(stderr: string, code: number): MoorError {
  if (stderr.includes('No space left on device')) return exhausted('no space left on device');
  if (stderr.includes('Disk quota exceeded')) return exhausted('disk quota exceeded');
  const line = stderr.split('\n').find((text) => text !== '');
  return new MoorError('internal', line ?? `tar exited with ${code}`);
}

/** Says which layer an error is about, once. */
function within(error: unknown, what: string): unknown {
  if (!(error instanceof MoorError) || error.message.startsWith('Cannot ')) return error;
  return error.kind === 'cancelled' || error.kind === 'unavailable'
    ? error
    : new MoorError(error.kind, `Cannot unpack ${what}: ${error.message}`, { cause: error });
}

/** For a stream that must not grow without bound. */
export function bounded(limit: number, what: string): (bytes: number) => void {
  return (bytes) => {
    if (bytes > limit) throw invalid(`Cannot read ${what}: it has more than ${limit} bytes`);
  };
}
