/** Digests, chain ids and streams that are hashed while they pass. */
import { createHash } from 'node:crypto';
import type { Chunks } from './tar/bytes.ts';

export const sha256 = (data: Buffer | string): string => `sha256:${createHash('sha256').update(data).digest('hex')}`;
export const hexOf = (digest: string): string => digest.slice('sha256:'.length);
/** As Docker's progress lines show it. */
export const shortDigest = (digest: string): string => hexOf(digest).slice(0, 12);

/**
 * The chain ids of a stack of layers (OCI image-spec, config.md, "Layer ChainID"): each names a layer together with everything below it.
 * @param diffIds base first
 */
export function chainIds(diffIds: readonly string[]): readonly string[] {
  let below: string | null = null;
  return diffIds.map((diffId) => (below = below === null ? diffId : sha256(`${below} ${diffId}`)));
}

/** Counts and hashes what passes. Its results stand when the stream has ended. */
export class Meter {
  readonly #hash = createHash('sha256');
  readonly #onBytes: (total: number) => void;
  #bytes = 0;

  /** @param onBytes called with the count so far; may throw to stop the stream */
  constructor(onBytes: (total: number) => void = () => {}) {
    this.#onBytes = onBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Once only. */
  digest(): string {
    return `sha256:${this.#hash.digest('hex')}`;
  }

  async *through(source: Chunks): AsyncGenerator<Buffer, void> {
    for await (const chunk of source) {
      this.#hash.update(chunk);
      this.#bytes += chunk.length;
      this.#onBytes(this.#bytes);
      yield chunk;
    }
  }
}
