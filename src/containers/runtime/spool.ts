/** A readable that takes what it is fed at once, however slowly it is read: beyond a little memory the rest waits in a file. */
import { closeSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { exhausted } from '../../base/errors.ts';

/** bytes that wait in memory */
const MEMORY = 256 * 1024;
/** bytes read back from the file at once */
const CHUNK = 64 * 1024;

let counter = 0;

export interface SpoolOptions {
  /** Where the file is made; it has no name for longer than a moment. */
  readonly directory: string;
  /** bytes that may wait; beyond them the stream fails and nobody is held up */
  readonly limit: number;
}

export class Spool extends Readable {
  readonly #options: SpoolOptions;
  #file = -1;
  #readAt = 0;
  #writeAt = 0;
  #ended = false;

  constructor(options: SpoolOptions) {
    super({ highWaterMark: MEMORY });
    this.#options = options;
  }

  /** bytes that wait to be read */
  get waiting(): number {
    return this.readableLength + this.#writeAt - this.#readAt;
  }

  /** @param chunk not to be changed by anybody afterwards */
  feed(chunk: Buffer): void {
    if (this.destroyed || this.#ended) return;
    if (this.#readAt === this.#writeAt && this.readableLength < MEMORY) {
      this.push(chunk);
      return;
    }
    if (this.waiting + chunk.length > this.#options.limit) {
      this.destroy(exhausted(`Cannot keep output for a reader that is slow: ${this.waiting} bytes wait`));
      return;
    }
    try {
      if (this.#file < 0) this.#file = openUnnamed(this.#options.directory);
      for (let done = 0; done < chunk.length; ) {
        const count = writeSync(this.#file, chunk, done, chunk.length - done, this.#writeAt);
        done += count;
        this.#writeAt += count;
      }
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Nothing more will be fed. */
  finish(): void {
    if (this.destroyed || this.#ended) return;
    this.#ended = true;
    if (this.#readAt === this.#writeAt) this.push(null);
  }

  override _read(): void {
    while (this.#readAt < this.#writeAt) {
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK, this.#writeAt - this.#readAt));
      const count = readSync(this.#file, buffer, 0, buffer.length, this.#readAt);
      this.#readAt += count;
      if (this.#readAt === this.#writeAt) this.#reset();
      if (!this.push(buffer.subarray(0, count))) break;
    }
    if (this.#ended && this.#readAt === this.#writeAt && !this.readableEnded) this.push(null);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
    done(error);
  }

  /** Gives the space back. */
  #reset(): void {
    ftruncateSync(this.#file, 0);
    this.#readAt = 0;
    this.#writeAt = 0;
  }
}

function openUnnamed(directory: string): number {
  const path = join(directory, `.spool-${process.pid}-${counter++}`);
  const file = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  return file;
}
