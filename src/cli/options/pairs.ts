/** `key=value` words. */
import { invalid } from '../../base/errors.ts';

/** `a=b=c` -> ['a', 'b=c']; `a` -> ['a', '']. */
export function splitPair(text: string): readonly [key: string, value: string] {
  const equals = text.indexOf('=');
  return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
}

/** Later ones win. A word without `=` has the value ''. */
export const parseMap = (words: readonly string[]): Readonly<Record<string, string>> => Object.fromEntries(words.map(splitPair));

/** @throws invalid for a label without a name */
export function parseLabels(words: readonly string[]): Readonly<Record<string, string>> {
  for (const word of words) {
    if (splitPair(word)[0].trim() === '')
      throw invalid(`invalid argument "${word}" for "--label" flag: invalid label '${word}': empty name`);
  }
  return parseMap(words);
}

/** @throws invalid unless every word is `key=value` */
export function parseDriverOptions(words: readonly string[]): Readonly<Record<string, string>> {
  for (const word of words) {
    if (!word.includes('=')) throw invalid('invalid key/value pair format in driver options');
  }
  return parseMap(words);
}

/**
 * `--env NAME=value`; `--env NAME` takes the value from the present environment, and nothing when it has none.
 * @throws invalid for an empty name
 */
export function parseEnvironment(
  words: readonly string[],
  present: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const result: Record<string, string> = {};
  for (const word of words) {
    const [name, value] = splitPair(word);
    if (name === '') throw invalid(`invalid argument "${word}" for "-e, --env" flag: invalid environment variable: ${word}`);
    if (word.includes('=')) result[name] = value;
    else if (present[name] !== undefined) result[name] = present[name];
  }
  return result;
}

/** Docker's filters on the wire: JSON of name -> values. @throws invalid for a word without `=` */
export function encodeFilters(words: readonly string[]): string | undefined {
  if (words.length === 0) return undefined;
  const filters: Record<string, string[]> = {};
  for (const word of words) {
    if (!word.includes('=')) {
      throw invalid(`invalid argument "${word}" for "--filter" flag: bad format of filter (expected name=value)`);
    }
    const [name, value] = splitPair(word);
    (filters[name.trim().toLowerCase()] ??= []).push(value.trim());
  }
  return JSON.stringify(filters);
}
