/**
 * Reads Docker's request bodies as Go's encoding/json does: field names match whatever their case, null means absent, unknown
 * fields are skipped, and a value of the wrong type is an error that names the field.
 */
import { invalid } from '../base/errors.ts';

/** One JSON object of a body, with the path to it for messages. */
export class JsonObject {
  private readonly fields = new Map<string, unknown>();
  private readonly path: string;

  constructor(value: Readonly<Record<string, unknown>>, path: string) {
    this.path = path;
    // As in Go the last of several spellings wins.
    for (const [name, field] of Object.entries(value)) this.fields.set(name.toLowerCase(), field ?? undefined);
  }

  private at(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  private get(name: string): unknown {
    return this.fields.get(name.toLowerCase());
  }

  string(name: string): string | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === 'string') return value;
    throw wrongType(this.at(name), 'string', value);
  }

  boolean(name: string): boolean | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === 'boolean') return value;
    throw wrongType(this.at(name), 'boolean', value);
  }

  integer(name: string): number | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    throw wrongType(this.at(name), 'integer', value);
  }

  object(name: string): JsonObject | undefined {
    const value = this.get(name);
    return value === undefined ? undefined : objectAt(value, this.at(name));
  }

  objects(name: string): readonly JsonObject[] | undefined {
    return this.list(name)?.map((value, index) => objectAt(value, `${this.at(name)}[${index}]`));
  }

  strings(name: string): readonly string[] | undefined {
    return this.list(name)?.map((value, index) => {
      if (typeof value === 'string') return value;
      throw wrongType(`${this.at(name)}[${index}]`, 'string', value);
    });
  }

  integers(name: string): readonly number[] | undefined {
    return this.list(name)?.map((value, index) => {
      if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
      throw wrongType(`${this.at(name)}[${index}]`, 'integer', value);
    });
  }

  /** An object whose values are all strings; null counts as the empty one. */
  stringMap(name: string): Readonly<Record<string, string>> | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    if (!isObject(value)) throw wrongType(this.at(name), 'object', value);
    return Object.fromEntries(
      Object.entries(value).map(([key, text]) => {
        if (text === null) return [key, ''];
        if (typeof text === 'string') return [key, text];
        throw wrongType(`${this.at(name)}.${key}`, 'string', text);
      }),
    );
  }

  /** An object of objects; null counts as the empty one, as a value too. */
  objectMap(name: string): Readonly<Record<string, JsonObject>> | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    if (!isObject(value)) throw wrongType(this.at(name), 'object', value);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, objectAt(item, `${this.at(name)}.${key}`)]));
  }

  /** An object of lists of objects, as Docker has it for port bindings; null counts as empty in both places. */
  objectListMap(name: string): Readonly<Record<string, readonly JsonObject[]>> | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    if (!isObject(value)) throw wrongType(this.at(name), 'object', value);
    const fields = new JsonObject(value, this.at(name));
    return Object.fromEntries(Object.keys(value).map((key) => [key, fields.objects(key) ?? []]));
  }

  /** A list of strings, or (as Docker takes it for commands) a string alone. */
  words(name: string): readonly string[] | undefined {
    const value = this.get(name);
    return typeof value === 'string' ? [value] : this.strings(name);
  }

  /** Whether a field says anything: not absent, null, false, 0, '', [] or {}. */
  says(name: string): boolean {
    const value = this.get(name);
    if (Array.isArray(value)) return value.length > 0;
    if (isObject(value)) return Object.keys(value).length > 0;
    return Boolean(value);
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  private list(name: string): readonly unknown[] | undefined {
    const value = this.get(name);
    if (value === undefined || Array.isArray(value)) return value;
    throw wrongType(this.at(name), 'array', value);
  }
}

/** @param body as parsed; an absent body and null are an empty object, as in Docker. @throws invalid when it is no object */
export const readBody = (body: unknown): JsonObject => objectAt(body ?? {}, '');

function objectAt(value: unknown, path: string): JsonObject {
  if (value === null) return new JsonObject({}, path);
  if (!isObject(value)) throw wrongType(path === '' ? 'request body' : path, 'object', value);
  return new JsonObject(value, path);
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const typeName = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

const wrongType = (path: string, expected: string, value: unknown): Error =>
  invalid(`invalid JSON: ${path}: expected ${expected}, got ${typeName(value)}`);
