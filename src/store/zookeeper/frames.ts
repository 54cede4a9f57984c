/** Bytes as they come from a socket, cut into frames: four bytes of length, then as many. */
import { ProtocolError } from './faults.ts';

/** Of one answer. The longest is a list of children: a million names of 60 bytes. */
const FRAME_MAX_BYTES = 64 * 2 ** 20;

export class Frames {
  #pieces: Buffer[] = [];
  #bytes = 0;

  /** @throws ProtocolError for a length that no answer has */
  push(piece: Buffer): readonly Buffer[] {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    const frames: Buffer[] = [];
    for (let length = this.#length(); length !== null && this.#bytes >= 4 + length; length = this.#length()) {
      const all = this.#whole();
      frames.push(all.subarray(4, 4 + length));
      this.#pieces = [all.subarray(4 + length)];
      this.#bytes -= 4 + length;
    }
    return frames;
  }

  #length(): number | null {
    if (this.#bytes < 4) return null;
    const first = this.#pieces[0];
    const length = (first && first.length >= 4 ? first : this.#whole()).readInt32BE();
    if (length < 0 || length > FRAME_MAX_BYTES) throw new ProtocolError(`a frame of ${length} bytes`);
    return length;
  }

  /** Joined only when a frame is whole, or its length is not: a long answer in many pieces is copied once. */
  #whole(): Buffer {
    const [only] = this.#pieces;
    const all = this.#pieces.length === 1 && only ? only : Buffer.concat(this.#pieces);
    this.#pieces = [all];
    return all;
  }
}
