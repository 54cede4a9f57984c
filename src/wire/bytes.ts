/** A growing buffer to encode into and a bounded view to decode from. Host byte order is little-endian: x86-64 and arm64. */
import { MoorError } from '../base/errors.ts';

/** Bytes on the wire that are not what their format says. `at` is the offset in the buffer. */
export const malformed = (what: string, at: number, why: string): MoorError =>
  new MoorError('internal', `Cannot decode ${what} at byte ${at}: ${why}`);

/** A value that does not fit its field. */
export const unencodable = (what: string, why: string): MoorError => new MoorError('internal', `Cannot encode ${what}: ${why}`);

/** What is decoded from. One of these serves a whole buffer, so decoding allocates values only. */
export interface Source {
  readonly bytes: Uint8Array;
  /** The same range as `bytes`. */
  readonly view: DataView;
  /** Keep attributes that no table names. Dumps that only look at known ones turn it off: it halves their time. */
  readonly keepUnknown: boolean;
}

export function sourceOf(bytes: Uint8Array, keepUnknown = true): Source {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), keepUnknown };
}

/** Appends to one buffer that is reused; what `finish` returns is a copy. */
export class Writer {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #length = 0;

  /** @param capacity bytes to begin with; it doubles as needed */
  constructor(capacity = 1024) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** Valid until the next `reserve`. */
  get view(): DataView {
    return this.#view;
  }

  clear(): void {
    this.#length = 0;
  }

  /** Appends zero bytes. @returns the offset of the first */
  reserve(count: number): number {
    const start = this.#length;
    const end = start + count;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, start));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#bytes.fill(0, start, end);
    this.#length = end;
    return start;
  }

  append(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}

/** Both, as a copy; no Buffer, whose `slice` would not copy. */
export function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
