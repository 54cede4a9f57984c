/** Go struct types as data: which fields in which order, what they are called in JSON, and their zero values. */
import { goTime } from '../output/age.ts';
import { type GoMap, GoStruct, inOrder, isMap } from './value.ts';

export type Shape =
  | { readonly type: 'string' | 'bool' | 'number' | 'time' | 'any' }
  | { readonly type: 'slice' | 'map'; readonly of: Shape }
  | { readonly type: 'struct'; readonly fields: readonly Field[] };

interface Field {
  readonly name: string;
  readonly json: string;
  readonly shape: Shape;
}

export const STRING: Shape = { type: 'string' };
export const BOOL: Shape = { type: 'bool' };
export const TIME: Shape = { type: 'time' };
export const ANY: Shape = { type: 'any' };
export const sliceOf = (of: Shape): Shape => ({ type: 'slice', of });
export const mapOf = (of: Shape): Shape => ({ type: 'map', of });

/** Fields by Go name; a pair gives the JSON name where it differs. */
export const struct = (fields: Readonly<Record<string, Shape | readonly [json: string, shape: Shape]>>): Shape => ({
  type: 'struct',
  fields: Object.entries(fields).map(([name, entry]) =>
    'type' in entry ? { name, json: name, shape: entry } : { name, json: entry[0], shape: entry[1] },
  ),
});

/** The zero time of Go, which is what an absent one prints. */
const ZERO_TIME = '0001-01-01T00:00:00Z';

/** JSON -> the value a template of Docker's CLI would see. */
export function typed(shape: Shape, json: unknown): unknown {
  switch (shape.type) {
    case 'any':
      return json;
    case 'string':
      return json ?? '';
    case 'bool':
      return json ?? false;
    case 'number':
      return json ?? 0;
    case 'time':
      return goTime(typeof json === 'string' ? json : ZERO_TIME);
    case 'slice':
      return Array.isArray(json) ? json.map((entry) => typed(shape.of, entry)) : [];
    case 'map':
      return isMap(json) ? Object.fromEntries(Object.entries(json).map(([key, entry]) => [key, typed(shape.of, entry)])) : {};
    case 'struct': {
      const source = isMap(json) ? json : {};
      const fields = shape.fields.map((field) => ({ ...field, value: typed(field.shape, source[field.json]) }));
      return new GoStruct(new Map(fields.map(({ name, value }) => [name, value])), jsonOf(source, fields));
    }
  }
}

/** The struct's JSON keeps its order and lacks what it lacked; maps inside it come in key order. */
function jsonOf(source: GoMap, fields: readonly (Field & { readonly value: unknown })[]): GoMap {
  const nested = new Map(
    fields.flatMap(({ json, shape, value }) => (NESTED.has(shape.type) ? [[json, inOrder(value)] as const] : [])),
  );
  return Object.fromEntries(
    Object.entries(source).map(([key, entry]) => [key, entry === null ? null : (nested.get(key) ?? entry)]),
  );
}

const NESTED: ReadonlySet<Shape['type']> = new Set(['slice', 'map', 'struct']);
