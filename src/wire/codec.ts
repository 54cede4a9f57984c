/** Codecs of single values. Composite ones (structs, attribute tables) are built from them and are codecs again. */
import { formatIp, ipBytes, type IpAddress, ipFromBytes, isIp } from '../base/ip.ts';
import { malformed, type Source, unencodable, type Writer } from './bytes.ts';

/**
 * How one type of value lies on the wire. `read` looks at bytes `at` to `end` (exclusive) only, and throws `internal` when they
 * are not such a value.
 */
export interface Codec<T> {
  /** For messages: `u32`, `struct ifinfomsg`. */
  readonly name: string;
  write(out: Writer, value: T): void;
  read(source: Source, at: number, end: number): T;
  /** For what depends on values that come before it in the same table: the codec to read with. */
  given?(siblings: Readonly<Record<string, unknown>>): Codec<T>;
  /** One line for a person. */
  show(value: T): string;
}

/** A number of fixed size, which can be a field of a struct. */
export interface Scalar extends Codec<number> {
  /** bytes, also its alignment in C */
  readonly size: 1 | 2 | 4;
  readonly min: number;
  readonly max: number;
  get(view: DataView, at: number): number;
  set(view: DataView, at: number, value: number): void;
}

type Access = Pick<Scalar, 'get' | 'set'> & { readonly signed?: boolean };

function scalar(name: string, size: 1 | 2 | 4, { get, set, signed = false }: Access): Scalar {
  const bits = size * 8;
  const min = signed ? -(2 ** (bits - 1)) : 0;
  const max = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  return {
    name,
    size,
    min,
    max,
    get,
    set(view, at, value) {
      if (!Number.isInteger(value) || value < min || value > max) throw unencodable(name, `${value} is not in ${min}..${max}`);
      set(view, at, value);
    },
    write(out, value) {
      const at = out.reserve(size);
      this.set(out.view, at, value);
    },
    read(source, at, end) {
      if (end - at !== size) throw malformed(name, at, `${end - at} bytes instead of ${size}`);
      return get(source.view, at);
    },
    show: String,
  };
}

export const u8 = scalar('u8', 1, { get: (v, at) => v.getUint8(at), set: (v, at, x) => v.setUint8(at, x) });
export const u16 = scalar('u16', 2, {
  get: (v, at) => v.getUint16(at, true),
  set: (v, at, x) => v.setUint16(at, x, true),
});
export const u32 = scalar('u32', 4, {
  get: (v, at) => v.getUint32(at, true),
  set: (v, at, x) => v.setUint32(at, x, true),
});
export const s32 = scalar('s32', 4, {
  signed: true,
  get: (v, at) => v.getInt32(at, true),
  set: (v, at, x) => v.setInt32(at, x, true),
});
/** Network byte order. */
export const be16 = scalar('be16', 2, { get: (v, at) => v.getUint16(at), set: (v, at, x) => v.setUint16(at, x) });
export const be32 = scalar('be32', 4, { get: (v, at) => v.getUint32(at), set: (v, at, x) => v.setUint32(at, x) });

// A byte order mark is three bytes of a name like any others.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const toUtf8 = new TextEncoder();

/** NUL-terminated text (NLA_NUL_STRING); what follows the first NUL is not looked at. */
export const text: Codec<string> = {
  name: 'text',
  write(out, value) {
    if (value.includes('\0')) throw unencodable('text', 'it holds a NUL');
    out.append(toUtf8.encode(value));
    out.reserve(1);
  },
  read(source, at, end) {
    let stop = at;
    while (stop < end && source.bytes[stop] !== 0) stop++;
    return utf8.decode(source.bytes.subarray(at, stop));
  },
  show: (value) => JSON.stringify(value),
};

/** 4 bytes are IPv4, 16 are IPv6. */
export const ip: Codec<IpAddress> = {
  name: 'ip',
  write(out, value) {
    if (!isIp(value)) throw unencodable('ip', `${value} is no address`);
    out.append(ipBytes(value));
  },
  read(source, at, end) {
    // IPv4 is most of what is dumped: no copy for it.
    if (end - at === 4) return formatIp(4, BigInt(source.view.getUint32(at)));
    if (end - at !== 16) throw malformed('ip', at, `${end - at} bytes instead of 4 or 16`);
    return ipFromBytes(source.bytes.subarray(at, end));
  },
  show: String,
};

/** Link-layer address of any length in hex with colons; 6 bytes on Ethernet, none on some tunnels. */
export const lladdr: Codec<string> = {
  name: 'lladdr',
  write(out, value) {
    if (value === '') return;
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2})*$/.test(value)) throw unencodable('lladdr', `${value} is no link-layer address`);
    out.append(Uint8Array.from(value.split(':'), (part) => Number.parseInt(part, 16)));
  },
  read: (source, at, end) => hex(source.bytes.subarray(at, end), ':'),
  show: String,
};

/** No payload: its presence is the value. */
export const flag: Codec<true> = {
  name: 'flag',
  write() {},
  read(_source, at, end) {
    if (end !== at) throw malformed('flag', at, `${end - at} bytes instead of 0`);
    return true;
  },
  show: () => 'yes',
};

/** Bytes as they are; a copy, because receive buffers are reused. */
export const raw: Codec<Uint8Array> = {
  name: 'raw',
  write: (out, value) => out.append(value),
  read: (source, at, end) => source.bytes.slice(at, end),
  show: (value) => `0x${hex(value, '')}`,
};

function hex(bytes: Uint8Array, separator: string): string {
  let out = '';
  for (const byte of bytes) out += `${out === '' ? '' : separator}${byte < 16 ? '0' : ''}${byte.toString(16)}`;
  return out;
}
