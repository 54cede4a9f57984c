/**
 * Netlink attributes (`struct nlattr`, <linux/netlink.h>) as tables: type, length, payload, padding to four bytes. A table is a codec
 * of an object with one optional property per attribute; attributes that it does not name are kept in `unknown`.
 */
import { MoorError } from '../base/errors.ts';
import { malformed, unencodable, type Writer } from './bytes.ts';
import type { Codec } from './codec.ts';
import type { Fields, Struct } from './struct.ts';

/** `NLA_TYPE_MASK`: the type without NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const TYPE_MASK = 0x3fff;
const NLA_F_NESTED = 0x8000;
const HEADER = 4;

export interface Attribute<T> {
  /** `IFLA_MTU` */
  readonly c: string;
  readonly type: number;
  readonly codec: Codec<T>;
}

export const attr = <T>(c: string, type: number, codec: Codec<T>): Attribute<T> => ({ c, type, codec });

/** An attribute that no table names; `type` with its flag bits. */
export interface RawAttribute {
  readonly type: number;
  readonly bytes: Uint8Array;
}

export type Attributes<T> = { readonly [K in keyof T]?: T[K] | undefined } & {
  readonly unknown?: readonly RawAttribute[] | undefined;
};

export interface AttributeTable<T> extends Codec<Attributes<T>> {
  readonly shape: 'table';
  readonly header: string;
  readonly entries: readonly (Attribute<unknown> & { readonly key: string })[];
}

/** @param header where the C names are: `linux/if_link.h` */
export function attributes<T>(header: string, table: { readonly [K in keyof T]: Attribute<T[K]> }): AttributeTable<T> {
  const entries: (Attribute<unknown> & { readonly key: string })[] = [];
  const byType: ((typeof entries)[number] | undefined)[] = [];
  for (const key in table) {
    const entry = { ...(table[key] as Attribute<unknown>), key };
    if (byType[entry.type]) throw new RangeError(`${entry.c} and ${byType[entry.type]?.c} are both ${entry.type}`);
    entries.push(entry);
    byType[entry.type] = entry;
  }
  return {
    shape: 'table',
    name: `attributes of ${header}`,
    header,
    entries,
    write(out, value) {
      const values = value as Readonly<Record<string, unknown>>;
      for (const { key, codec, type, c } of entries) {
        const item = values[key];
        if (item === undefined) continue;
        const start = out.reserve(HEADER);
        codec.write(out, item);
        close(out, start, { type: isTable(codec) ? type | NLA_F_NESTED : type, c });
      }
      for (const { type, bytes } of value.unknown ?? []) {
        const start = out.reserve(HEADER);
        out.append(bytes);
        close(out, start, { type, c: `attribute ${type & TYPE_MASK}` });
      }
    },
    read(source, at, end) {
      const values: Record<string, unknown> = {};
      let unknown: RawAttribute[] | undefined;
      for (let offset = at; offset < end; ) {
        if (end - offset < HEADER) throw malformed('attribute', offset, `${end - offset} stray bytes`);
        const length = source.view.getUint16(offset, true);
        if (length < HEADER || length > end - offset) {
          throw malformed('attribute', offset, `length ${length} with ${end - offset} bytes left`);
        }
        const type = source.view.getUint16(offset + 2, true);
        const entry = byType[type & TYPE_MASK];
        if (entry) {
          const codec = entry.codec.given?.(values) ?? entry.codec;
          try {
            values[entry.key] = codec.read(source, offset + HEADER, offset + length);
          } catch (error) {
            throw inside(entry.c, error);
          }
        } else if (source.keepUnknown) {
          unknown ??= [];
          unknown.push({ type, bytes: source.bytes.slice(offset + HEADER, offset + length) });
        }
        offset += (length + 3) & ~3;
      }
      if (unknown) values['unknown'] = unknown;
      return values as Attributes<T>;
    },
    show(value) {
      const values = value as Readonly<Record<string, unknown>>;
      const shown: string[] = [];
      for (const { key, c, codec } of entries) {
        if (values[key] !== undefined) shown.push(`${c}=${codec.show(values[key])}`);
      }
      for (const { type, bytes } of value.unknown ?? []) shown.push(`#${type & TYPE_MASK}(${bytes.length} bytes)`);
      return `{${shown.join(' ')}}`;
    },
  };
}

/** Adds where it went wrong, innermost first. */
const inside = (c: string, error: unknown): unknown =>
  error instanceof MoorError ? new MoorError(error.kind, `${error.message}, in ${c}`) : error;

/** Writes the header of the attribute that began at `start`, now that its length is known, and the padding. */
function close(out: Writer, start: number, { type, c }: { readonly type: number; readonly c: string }): void {
  const length = out.length - start;
  if (length > 0xffff) throw unencodable(c, `${length} bytes, at most 65535 fit`);
  out.view.setUint16(start, length, true);
  out.view.setUint16(start + 2, type, true);
  out.reserve(-length & 3);
}

const isTable = (codec: Codec<unknown>): boolean => 'shape' in codec && (codec.shape === 'table' || codec.shape === 'choice');

/** One of several tables, by the text of a sibling that comes first; bytes as they are when the sibling's value is not listed. */
export type Choice<M> = { readonly [K in keyof M]: { readonly type: K; readonly value: M[K] } }[keyof M] | RawChoice;
export interface RawChoice {
  readonly type: '';
  readonly value: Uint8Array;
}

export interface ChoiceCodec<M> extends Codec<Choice<M>> {
  readonly shape: 'choice';
  /** Property whose text chooses. */
  readonly sibling: string;
  readonly options: Readonly<Record<string, Codec<unknown>>>;
}

export function choice<M>(sibling: string, options: { readonly [K in keyof M]: Codec<M[K]> }): ChoiceCodec<M> {
  const codecs = options as Readonly<Record<string, Codec<unknown>>>;
  const find = (type: unknown): Codec<unknown> | undefined =>
    typeof type === 'string' && Object.hasOwn(codecs, type) ? codecs[type] : undefined;
  return {
    shape: 'choice',
    sibling,
    options: codecs,
    name: `choice by ${sibling}`,
    write(out, value) {
      const codec = find(value.type);
      if (codec) codec.write(out, value.value);
      else if (value.value instanceof Uint8Array) out.append(value.value);
      else throw unencodable(`choice by ${sibling}`, `${String(value.type)} is not one of ${Object.keys(codecs).join(', ')}`);
    },
    read: (source, at, end) => ({ type: '', value: source.bytes.slice(at, end) }),
    given(siblings) {
      const type = siblings[sibling];
      const codec = find(type);
      if (!codec) return this;
      return { ...this, read: (source, at, end) => ({ type, value: codec.read(source, at, end) }) as Choice<M> };
    },
    show(value) {
      const codec = find(value.type);
      return codec ? codec.show(value.value) : `(${(value as RawChoice).value.length} bytes)`;
    },
  };
}

/** A fixed header, padded to four bytes, followed by attributes, as in every rtnetlink message. */
export interface Message<K extends string, T> {
  readonly header: Partial<Fields<K>>;
  readonly attributes: Attributes<T>;
}

export interface MessageCodec<K extends string, T> extends Codec<Message<K, T>> {
  readonly shape: 'message';
  readonly struct: Struct<K>;
  readonly table: AttributeTable<T>;
  read(...args: Parameters<Codec<unknown>['read']>): { readonly header: Fields<K>; readonly attributes: Attributes<T> };
}

export function message<K extends string, T>(header: Struct<K>, table: AttributeTable<T>): MessageCodec<K, T> {
  const start = (header.size + 3) & ~3;
  return {
    shape: 'message',
    struct: header,
    table,
    name: header.c,
    write(out, value) {
      header.write(out, value.header);
      out.reserve(start - header.size);
      table.write(out, value.attributes);
    },
    read(source, at, end) {
      const first = header.read(source, at, end);
      return { header: first, attributes: table.read(source, Math.min(at + start, end), end) };
    },
    show: (value) => `${header.show(value.header)} ${table.show(value.attributes)}`,
  };
}

export interface RecordsCodec<K extends string, T> extends Codec<readonly Message<K, T>[]> {
  readonly one: MessageCodec<K, T>;
}

/** Messages behind each other, each with its length in its header, padded to four bytes: RTA_MULTIPATH. */
export function records<K extends string, T>(one: MessageCodec<K, T>, length: NoInfer<K>): RecordsCodec<K, T> {
  const lengthField = one.struct.fields.find((entry) => entry.key === length);
  if (!lengthField) throw new RangeError(`${one.name} has no field ${length}`);
  return {
    one,
    name: `list of ${one.name}`,
    write(out, values) {
      for (const value of values) {
        const start = out.reserve(0);
        one.write(out, value);
        lengthField.type.set(out.view, start + lengthField.offset, out.length - start);
        out.reserve(-(out.length - start) & 3);
      }
    },
    read(source, at, end) {
      const values: Message<K, T>[] = [];
      for (let offset = at; offset < end; ) {
        if (end - offset < one.struct.size) throw malformed(one.name, offset, `${end - offset} stray bytes`);
        const size = lengthField.type.get(source.view, offset + lengthField.offset);
        if (size < one.struct.size || size > end - offset) {
          throw malformed(one.name, offset, `length ${size} with ${end - offset} bytes left`);
        }
        values.push(one.read(source, offset, offset + size));
        offset += (size + 3) & ~3;
      }
      return values;
    },
    show: (values) => `[${values.map((value) => one.show(value)).join('; ')}]`,
  };
}
