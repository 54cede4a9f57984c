/** A stream of chunks, read by count. */
import { invalid } from '../../../base/errors.ts';

export type Chunks = AsyncIterable<Buffer>;

export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #what: string;
  #held: Buffer = Buffer.alloc(0);

  /** @param what for messages: `archive`, `layer sha256:…` */
  constructor(chunks: Chunks, what: string) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#what = what;
  }

  /** @returns exactly `size` bytes; null when the stream ended before the first. @throws invalid when it ended after it */
  async exactly(size: number): Promise<Buffer | null> {
    if (this.#held.length >= size) return this.#take(size);
    const parts = [this.#held];
    let length = this.#held.length;
    while (length < size) {
      const next = await this.#chunks.next();
      if (next.done) {
        if (length === 0) return null;
        throw this.truncated();
      }
      parts.push(next.value);
      length += next.value.length;
    }
    this.#held = Buffer.concat(parts, length);
    return this.#take(size);
  }

  /** The next `size` bytes as they come. @throws invalid when there are fewer */
  async *through(size: number): AsyncGenerator<Buffer, void> {
    for (let left = size; left > 0; ) {
      if (this.#held.length === 0) {
        const next = await this.#chunks.next();
        if (next.done) throw this.truncated();
        this.#held = next.value;
      }
      const part = this.#take(Math.min(left, this.#held.length));
      left -= part.length;
      yield part;
    }
  }

  /** Reads to the end and forgets it. */
  async drain(): Promise<void> {
    this.#held = Buffer.alloc(0);
    while (!(await this.#chunks.next()).done);
  }

  /** Tells the source that no more will be read. */
  async stop(): Promise<void> {
    await this.#chunks.return?.();
  }

  truncated(): Error {
    return invalid(`Cannot read ${this.#what}: unexpected EOF`);
  }

  #take(size: number): Buffer {
    const part = this.#held.subarray(0, size);
    this.#held = this.#held.subarray(size);
    return part;
  }
}
