/** Query strings as Docker reads them. */
import { invalid } from '../base/errors.ts';

/** A parsed query string; a repeated key is an array. */
export type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

/** The first value of a key; '' when absent. */
export function queryText(query: Query, key: string): string {
  const value = query[key];
  return (typeof value === 'string' ? value : value?.[0]) ?? '';
}

/** moby `httputils.BoolValue`: everything is true but '', 0, no, false, none. */
export function queryBoolean(query: Query, key: string): boolean {
  return !['', '0', 'no', 'false', 'none'].includes(queryText(query, key).trim().toLowerCase());
}

/** Go's `strconv.ParseBool`, for the few parameters that Docker reads so. @throws invalid naming key and value */
export function strictBoolean(query: Query, key: string): boolean {
  const text = queryText(query, key);
  if (text === '' || ['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  throw invalid(`invalid value for ${key}: ${text}: strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** All values of a key, in order. */
export function queryAll(query: Query, key: string): readonly string[] {
  const value = query[key];
  if (value === undefined) return [];
  return typeof value === 'string' ? [value] : value;
}
