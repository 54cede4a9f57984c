/**
 * The Protocol Buffers wire format (protobuf.dev/programming-guides/encoding), as far as etcd's API uses it. A message is a table of
 * fields: type, encoder and decoder come from it. As in proto3, what has its default value is not sent, and what is unknown is skipped.
 */

/** Wire types. Groups (3, 4) are history. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** A varint carries 7 bits a byte, so 64 bits take ten of them. */
const VARINT_MAX_BYTES = 10;
/** As many bytes of a varint as fit into a double with every bit: 7 * 7 = 49. */
const VARINT_EXACT_BYTES = 7;

/** Methods, not function properties: a table holds fields of different types. */
export interface Field<Read, Write = Read> {
  readonly number: number;
  readonly wireType: number;
  /** What a message has in which the field is absent. */
  absent(): Read;
  /** The parts of the value on the wire, without tag and length; several for a repeated field, none for what need not be sent. */
  encode(value: Write): readonly Uint8Array[];
  /** @param before what the field had so far: absent, or an earlier occurrence. */
  decode(reader: Reader, before: Read): Read;
}

export type Shape = Readonly<Record<string, Field<unknown>>>;
type Readable<S extends Shape> = { readonly [K in keyof S]: S[K] extends Field<infer R, never> ? R : never };
type Writable<S extends Shape> = { readonly [K in keyof S]?: S[K] extends Field<infer _R, infer W> ? W : never };

export interface Message<Read, Write> {
  readonly encode: (value: Write) => Buffer;
  /** @throws RangeError when the bytes are no such message. */
  readonly decode: (bytes: Uint8Array) => Read;
}

/** @param shape fields by name, each with its number in the .proto file. */
export function message<S extends Shape>(shape: S): Message<Readable<S>, Writable<S>> {
  const fields = Object.entries(shape);
  const byNumber = new Map(fields.map(([name, field]) => [field.number, { name, field }]));
  return {
    encode: (value) => {
      const parts: Uint8Array[] = [];
      for (const [name, field] of fields) {
        const given: unknown = value[name];
        if (given === undefined) continue;
        const tag = varint(BigInt((field.number << 3) | field.wireType));
        for (const part of field.encode(given)) {
          parts.push(tag);
          if (field.wireType === BYTES) parts.push(varint(BigInt(part.length)));
          parts.push(part);
        }
      }
      return Buffer.concat(parts);
    },
    decode: (bytes) => {
      const result: Record<string, unknown> = {};
      for (const [name, field] of fields) result[name] = field.absent();
      const reader = new Reader(bytes);
      while (reader.left > 0) {
        const tag = Number(reader.varint());
        const known = byNumber.get(tag >>> 3);
        if (known?.field.wireType === (tag & 7)) result[known.name] = known.field.decode(reader, result[known.name]);
        else reader.skip(tag & 7);
      }
      return result as Readable<S>;
    },
  };
}

/** int64 or an enumeration whose values stay below 2^53, as revisions and counts do. */
export const int = (number: number): Field<number> => ({
  number,
  wireType: VARINT,
  absent: () => 0,
  encode: (value) => (value === 0 ? [] : [varint(BigInt(value))]),
  decode: (reader) => reader.integer(),
});

/** int64 that uses all its bits, as lease ids do. */
export const int64 = (number: number): Field<bigint> => ({
  number,
  wireType: VARINT,
  absent: () => 0n,
  encode: (value) => (value === 0n ? [] : [varint(value)]),
  decode: (reader) => BigInt.asIntN(64, BigInt(reader.varint())),
});

export const bool = (number: number): Field<boolean> => ({
  number,
  wireType: VARINT,
  absent: () => false,
  encode: (value) => (value ? [varint(1n)] : []),
  decode: (reader) => Number(reader.varint()) !== 0,
});

/** A string may be given. Reading gives bytes, which need not be text. */
export const bytes = (number: number): Field<Buffer, Uint8Array | string> => ({
  number,
  wireType: BYTES,
  absent: () => Buffer.alloc(0),
  encode: (value) => (value.length === 0 ? [] : [typeof value === 'string' ? Buffer.from(value) : value]),
  decode: (reader) => reader.bytes(),
});

export const string = (number: number): Field<string> => ({
  number,
  wireType: BYTES,
  absent: () => '',
  encode: (value) => (value === '' ? [] : [Buffer.from(value)]),
  decode: (reader) => reader.bytes().toString(),
});

/** A message in a message. An empty one is sent too: its presence may be all it says. */
export const nested = <R, W>(number: number, type: Message<R, W>): Field<R | undefined, W | undefined> => ({
  number,
  wireType: BYTES,
  absent: () => undefined,
  encode: (value) => (value === undefined ? [] : [type.encode(value)]),
  decode: (reader) => type.decode(reader.bytes()),
});

/** Any number of messages. */
export const repeated = <R, W>(number: number, type: Message<R, W>): Field<R[], readonly W[]> => ({
  number,
  wireType: BYTES,
  absent: () => [],
  encode: (values) => values.map((value) => type.encode(value)),
  decode: (reader, before) => {
    before.push(type.decode(reader.bytes()));
    return before;
  },
});

function varint(value: bigint): Uint8Array {
  let rest = BigInt.asUintN(64, value);
  const out: number[] = [];
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return Uint8Array.from(out);
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(source: Uint8Array) {
    this.#bytes = Buffer.from(source.buffer, source.byteOffset, source.byteLength);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** Unsigned; a bigint only when a number would lose bits. */
  varint(): number | bigint {
    let value = 0;
    for (let i = 0; i < VARINT_EXACT_BYTES; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    let large = BigInt(value);
    for (let i = VARINT_EXACT_BYTES; i < VARINT_MAX_BYTES; i++) {
      const byte = this.#byte();
      large += BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) return BigInt.asUintN(64, large);
    }
    throw new RangeError('a varint of more than 10 bytes');
  }

  /** Signed. */
  integer(): number {
    const value = this.varint();
    const signed = typeof value === 'number' ? value : Number(BigInt.asIntN(64, value));
    if (!Number.isSafeInteger(signed)) throw new RangeError(`the number ${value} is beyond 2^53`);
    return signed;
  }

  /** A view, not a copy. */
  bytes(): Buffer {
    const length = Number(this.varint());
    this.#need(length);
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  skip(wireType: number): void {
    switch (wireType) {
      case VARINT:
        this.varint();
        break;
      case FIXED64:
        this.#need(8);
        this.#at += 8;
        break;
      case BYTES:
        this.bytes();
        break;
      case FIXED32:
        this.#need(4);
        this.#at += 4;
        break;
      default:
        throw new RangeError(`a field of wire type ${wireType}`);
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new RangeError('the message ends within a field');
    return byte;
  }

  #need(length: number): void {
    if (length > this.left) throw new RangeError(`a field of ${length} bytes where ${this.left} are left`);
  }
}
