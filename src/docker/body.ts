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
