/** What libnftables prints as JSON (libnftables-json(5)), narrowed step by step. */
import { MoorError } from '../base/errors.ts';

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const isArray = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

/** The one key of `{"match": ...}` and what it holds; null for anything else. */
export function single(value: Json | undefined): readonly [kind: string, inner: Json] | null {
  if (!isObject(value)) return null;
  const entries = Object.entries(value);
  return entries.length === 1 && entries[0] !== undefined ? entries[0] : null;
}

/**
 * The entries of a listing: `table`, `chain`, `rule`, `set`, `map`, ... and what it says of each.
 * @throws internal when the text is not a listing
 */
export function* listed(text: string): Generator<readonly [kind: string, object: JsonObject]> {
  let root: Json;
  try {
    root = JSON.parse(text) as Json;
  } catch (error) {
    throw unreadable(error instanceof Error ? error.message : String(error));
  }
  const list = isObject(root) ? root['nftables'] : undefined;
  if (!isArray(list)) throw unreadable('no "nftables" array in it');
  for (const item of list) {
    if (!isObject(item)) throw unreadable('an entry is not an object');
    for (const [kind, object] of Object.entries(item)) if (isObject(object)) yield [kind, object];
  }
}

const unreadable = (why: string): MoorError => new MoorError('internal', `Cannot read the nftables listing: ${why}`);
