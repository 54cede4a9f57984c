/**
 * A small part of JSON Schema, typed so that a keyword which is not checked cannot be written. Bodies have few and plain shapes:
 * a general validator (ajv) would be the largest thing in the daemon's memory, 7 MB.
 */
import { invalid } from '../base/errors.ts';

export type Schema =
  | { readonly type: 'string'; readonly pattern?: string }
  | { readonly type: 'boolean' }
  | { readonly type: 'integer'; readonly minimum?: number }
  | { readonly type: 'array'; readonly items: Schema }
  /** A map: any names, all values alike. */
  | { readonly type: 'object'; readonly additionalProperties: Schema }
  /** A record: these names and no others, since a misspelt option must not be taken for none. */
  | {
      readonly type: 'object';
      readonly properties: Readonly<Record<string, Schema>>;
      readonly required: readonly string[];
      readonly additionalProperties: false;
      /** At least this many of the properties, and at most. */
      readonly minProperties?: number;
      readonly maxProperties?: number;
    };

/** @param where path to the value, for the message: `networks[0].endpoint` @throws invalid, naming the place and the rule */
export function validate(schema: Schema, value: unknown, where = ''): void {
  const wrong = (rule: string): Error => invalid(`invalid request body: ${where === '' ? '' : `${where}: `}${rule}`);
  switch (schema.type) {
    case 'string':
      if (typeof value !== 'string') throw wrong(`expected string, got ${typeName(value)}`);
      if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value)) throw wrong(`must match ${schema.pattern}`);
      return;
    case 'boolean':
      if (typeof value !== 'boolean') throw wrong(`expected boolean, got ${typeName(value)}`);
      return;
    case 'integer':
      if (!Number.isSafeInteger(value))
        throw wrong(`expected integer, got ${typeof value === 'number' ? value : typeName(value)}`);
      if (schema.minimum !== undefined && (value as number) < schema.minimum) throw wrong(`must be at least ${schema.minimum}`);
      return;
    case 'array':
      if (!Array.isArray(value)) throw wrong(`expected array, got ${typeName(value)}`);
      value.forEach((item: unknown, index) => validate(schema.items, item, `${where}[${index}]`));
      return;
    case 'object': {
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        throw wrong(`expected object, got ${typeName(value)}`);
      const fields = Object.entries(value) as [string, unknown][];
      for (const [name, field] of fields) {
        const rule =
          schema.additionalProperties || (Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined);
        if (rule === undefined) throw wrong(`unknown field ${JSON.stringify(name)}`);
        validate(rule, field, where === '' ? name : `${where}.${name}`);
      }
      if (schema.additionalProperties !== false) return;
      for (const name of schema.required)
        if (!Object.hasOwn(value, name)) throw wrong(`field ${JSON.stringify(name)} is missing`);
      const { minProperties = 0, maxProperties = Number.POSITIVE_INFINITY } = schema;
      if (fields.length < minProperties || fields.length > maxProperties) {
        throw wrong(
          `expected ${minProperties === maxProperties ? minProperties : `${minProperties} to ${maxProperties}`} of ${Object.keys(schema.properties).join(', ')}`,
        );
      }
      return;
    }
    default:
      schema satisfies never;
  }
}

const typeName = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);
