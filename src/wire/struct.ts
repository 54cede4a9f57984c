/** C structs of integers as tables. Offsets follow C's natural alignment and are compared with the compiler's in a test. */
import { malformed } from './bytes.ts';
import type { Codec, Scalar } from './codec.ts';

/** One field: its C name (members of inner structs with a dot) and its type. */
export interface Field {
  readonly c: string;
  readonly type: Scalar;
}

export const field = (c: string, type: Scalar): Field => ({ c, type });

/** What is absent is written as zero, and read values have every field. */
export type Fields<K extends string> = { readonly [F in K]: number };

export interface Struct<K extends string> extends Codec<Partial<Fields<K>>> {
  /** `ifinfomsg` for `struct ifinfomsg` */
  readonly c: string;
  /** The header that declares it: `linux/rtnetlink.h`. */
  readonly header: string;
  readonly size: number;
  readonly fields: readonly (Field & { readonly key: K; readonly offset: number })[];
  /** Where each field begins, in bytes: for who needs one of many. */
  readonly at: Readonly<Record<K, number>>;
  read(...args: Parameters<Codec<unknown>['read']>): Fields<K>;
}

export function struct<K extends string>(c: string, header: string, table: Readonly<Record<K, Field>>): Struct<K> {
  const fields: (Field & { readonly key: K; readonly offset: number })[] = [];
  let offset = 0;
  let alignment = 1;
  for (const key in table) {
    const entry = table[key];
    offset = align(offset, entry.type.size);
    fields.push({ ...entry, key, offset });
    offset += entry.type.size;
    alignment = Math.max(alignment, entry.type.size);
  }
  const size = align(offset, alignment);
  return {
    c,
    header,
    name: `struct ${c}`,
    size,
    fields,
    at: Object.fromEntries(fields.map(({ key, offset: o }) => [key, o])) as Record<K, number>,
    write(out, value) {
      const at = out.reserve(size);
      for (const { key, type, offset: o } of fields) {
        const number = value[key];
        if (number !== undefined) type.set(out.view, at + o, number);
      }
    },
    read(source, at, end) {
      // Longer is fine: the kernel's structs grow at their end.
      if (end - at < size) throw malformed(`struct ${c}`, at, `${end - at} bytes instead of ${size}`);
      const value: Record<string, number> = {};
      for (const { key, type, offset: o } of fields) value[key] = type.get(source.view, at + o);
      return value as Fields<K>;
    },
    show(value) {
      const shown = fields.filter(({ key }) => value[key]).map(({ key, type }) => `${key}=${type.show(value[key] ?? 0)}`);
      return `${c}{${shown.join(' ')}}`;
    },
  };
}

const align = (offset: number, to: number): number => Math.ceil(offset / to) * to;
