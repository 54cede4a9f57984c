/**
 * One block of memory that system calls work on in place: packets, and the structures that point at them. Its address is asked for once;
 * pointers into it are written as two words, so that no BigInt and no conversion happens per packet.
 */
import { addressOf } from '../../sys/libc.ts';

/** `struct iovec`: pointer, size_t. <sys/uio.h> */
export const IOVEC = 16;
/** `struct mmsghdr`: msghdr (56 bytes), u32 length, padding. <sys/socket.h> */
export const MMSGHDR = 64;
/** Room for a `struct sockaddr_in6` (28 bytes). */
export const SOCKADDR = 32;
/** Room for one control message with an int: `struct cmsghdr` (16 bytes), 4 bytes, padding. */
export const CONTROL = 32;

/** Fields of `struct mmsghdr` in words of 32 bits. */
export const MSG = {
  name: 0,
  nameLength: 2,
  iov: 4,
  iovLength: 6,
  control: 8,
  controlLength: 10,
  flags: 12,
  length: 14,
} as const;

export class Arena {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Uint32Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly base: number;
  readonly #low: number;
  readonly #high: number;
  #used = 0;

  /** @param size bytes, of everything that will be taken */
  constructor(size: number) {
    const rounded = (size + 63) & ~63;
    // Across a multiple of 4 GiB the upper word would not be the same for all of it: then another block is taken, while this one is held.
    const refused: ArrayBuffer[] = [];
    for (;;) {
      const buffer = new ArrayBuffer(rounded);
      this.bytes = new Uint8Array(buffer);
      this.base = addressOf(this.bytes);
      this.#high = Math.floor(this.base / 2 ** 32);
      this.#low = this.base - this.#high * 2 ** 32;
      if (this.#low + rounded <= 2 ** 32) break;
      refused.push(buffer);
    }
    this.words = new Uint32Array(this.bytes.buffer);
    this.view = new DataView(this.bytes.buffer);
  }

  /** A part of it, on a cache line of its own. @returns its offset */
  take(size: number): number {
    const at = this.#used;
    this.#used = (at + size + 63) & ~63;
    if (this.#used > this.bytes.length) throw new RangeError(`arena of ${this.bytes.length} bytes is too small`);
    return at;
  }

  /** Writes the address of offset `target` to offset `at`. */
  pointer(at: number, target: number): void {
    const word = at >>> 2;
    this.words[word] = this.#low + target;
    this.words[word + 1] = this.#high;
  }

  /** Writes a `struct iovec` to offset `at`. */
  iovec(at: number, target: number, length: number): void {
    this.pointer(at, target);
    this.words[(at >>> 2) + 2] = length;
  }
}
