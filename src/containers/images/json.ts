/** Reading JSON that others wrote: every look says what it expects. */
import { invalid } from '../../base/errors.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** @throws invalid naming the document */
export function parseJson(data: Buffer, what: string): unknown {
  const text = data.toString('utf8');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(`Cannot read ${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @throws invalid naming the document */
export function parseObject(data: Buffer, what: string): JsonObject {
  const value = parseJson(data, what);
  if (!isObject(value)) throw invalid(`Cannot read ${what}: it is not a JSON object`);
  return value;
}

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
export const objectOf = (value: unknown): JsonObject => (isObject(value) ? value : {});
export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
export const textsOf = (value: unknown): readonly string[] | null =>
  Array.isArray(value) && value.every((each) => typeof each === 'string') ? value : null;
