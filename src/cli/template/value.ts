/**
 * Values of templates. JSON is taken as Go takes it without a type: objects are maps. Where Docker hands a typed struct to its
 * templates, a `GoStruct` stands for it, with Go's field names, field order and zero values.
 */

export type Method = (...args: readonly unknown[]) => unknown;

/** A struct: fields in order by their Go name; `json` is what `{{json .}}` shows. */
export class GoStruct {
  readonly fields: ReadonlyMap<string, unknown>;
  readonly json: unknown;

  constructor(fields: ReadonlyMap<string, unknown>, json: unknown) {
    this.fields = fields;
    this.json = json;
  }
}

export type GoMap = Readonly<Record<string, unknown>>;

export const isMap = (value: unknown): value is GoMap =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof GoStruct);

/** Go visits maps in key order when it prints and ranges. */
export const sortedEntries = (map: GoMap): readonly (readonly [string, unknown])[] =>
  Object.entries(map).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));

/** Truth as in `if`: false, 0, nil, and what is empty are false; a struct is true. */
export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isMap(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** `%v`. */
export function printValue(value: unknown): string {
  if (value === undefined || value === null) return '<nil>';
  if (Array.isArray(value)) return `[${value.map(printValue).join(' ')}]`;
  if (value instanceof GoStruct) return `{${[...value.fields.values()].map(printValue).join(' ')}}`;
  if (isMap(value))
    return `map[${sortedEntries(value)
      .map(([key, entry]) => `${key}:${printValue(entry)}`)
      .join(' ')}]`;
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
      return printNumber(value);
    case 'boolean':
    case 'bigint':
      return String(value);
    default:
      return '<nil>';
  }
}

/** JSON numbers are float64 in Go: from 1e21 on, `%v` shows an exponent, which has two digits at least. */
function printNumber(value: number): string {
  return String(value).replace(/e([-+])(\d)$/, 'e$10$2');
}

/** Name of the Go type, for errors. */
export function typeName(value: unknown): string {
  if (value === null || value === undefined) return 'nil';
  if (Array.isArray(value)) return '[]interface {}';
  if (value instanceof GoStruct) return 'struct';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64';
  return typeof value === 'string' ? 'string' : 'map[string]interface {}';
}

/** As Go's encoder without HTML escaping: keys of maps in order, structs as their JSON. */
export const toJson = (value: unknown): string => JSON.stringify(inOrder(value));

export function inOrder(value: unknown): unknown {
  if (value instanceof GoStruct) return value.json;
  if (Array.isArray(value)) return value.map(inOrder);
  if (isMap(value)) return Object.fromEntries(sortedEntries(value).map(([key, entry]) => [key, inOrder(entry)]));
  return value ?? null;
}
