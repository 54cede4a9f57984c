/** Jute, ZooKeeper's encoding: numbers big-endian, strings and buffers behind their length in bytes (zookeeper-jute, BinaryOutputArchive). */
import { ProtocolError } from './faults.ts';

export class JuteWriter {
  #bytes = Buffer.allocUnsafe(256);
  #length = 0;

  int(value: number): this {
    this.#room(4);
    this.#length = this.#bytes.writeInt32BE(value, this.#length);
    return this;
  }

  long(value: bigint): this {
    this.#room(8);
    this.#length = this.#bytes.writeBigInt64BE(value, this.#length);
    return this;
  }

  bool(value: boolean): this {
    this.#room(1);
    this.#length = this.#bytes.writeUInt8(value ? 1 : 0, this.#length);
    return this;
  }

  buffer(value: Uint8Array): this {
    this.int(value.length).#room(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  string(value: string): this {
    return this.buffer(Buffer.from(value));
  }

  get length(): number {
    return this.#length;
  }

  /** Behind its own length, as it goes over the wire. */
  frame(): Buffer {
    const frame = Buffer.allocUnsafe(4 + this.#length);
    frame.writeInt32BE(this.#length);
    this.#bytes.copy(frame, 4, 0, this.#length);
    return frame;
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + bytes));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

/** @throws ProtocolError when the bytes end too early */
export class JuteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int(): number {
    return this.#bytes.readInt32BE(this.#take(4));
  }

  long(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8));
  }

  /** A transaction id: 32 bits of epoch and 32 bits of count. Exact as a number up to two million elections. */
  zxid(): number {
    const zxid = Number(this.long());
    if (!Number.isSafeInteger(zxid)) throw new ProtocolError(`transaction id ${zxid}`);
    return zxid;
  }

  bool(): boolean {
    return this.#bytes.readUInt8(this.#take(1)) !== 0;
  }

  /** A length of -1 stands for null; empty to us. */
  buffer(): Buffer {
    const length = this.int();
    if (length < -1) throw new ProtocolError(`a length of ${length}`);
    const at = this.#take(Math.max(0, length));
    return this.#bytes.subarray(at, this.#at);
  }

  string(): string {
    return this.buffer().toString('utf8');
  }

  strings(): readonly string[] {
    const count = this.int();
    // Each has at least its length.
    if (count > (this.#bytes.length - this.#at) / 4) throw new ProtocolError(`a list of ${count}`);
    return Array.from({ length: Math.max(0, count) }, () => this.string());
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#bytes.length) throw new ProtocolError('the answer was cut short');
    this.#at = at + bytes;
    return at;
  }
}
