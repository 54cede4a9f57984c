/**
 * Options and arguments of a command line, with the rules of Docker's CLI (pflag): `--name value`, `--name=value`, `-n value`, `-nvalue`,
 * `-n=value`, `-abc` for flags, `--flag=false`, and `--` as the end of options.
 */
import { invalid } from '../base/errors.ts';
import { isNamed, longName, type Options, type OptionSpec, type RawValues } from './command.ts';
import { suggestion } from './suggest.ts';

export interface ParsedWords {
  /** By the key of the option; a list that was not given is empty, anything else undefined. */
  readonly values: RawValues;
  readonly args: readonly string[];
}

interface ParseOptions {
  /** Options end at the first argument: what follows belongs to somebody else. */
  readonly stopAtArgument?: boolean;
}

type Value = boolean | string | number | string[] | undefined;

/** @throws invalid in pflag's words, with the nearest name for a misspelt one */
export function parseWords(
  words: readonly string[],
  options: Options,
  { stopAtArgument = false }: ParseOptions = {},
): ParsedWords {
  const values: Record<string, Value> = {};
  for (const [key, spec] of Object.entries(options)) values[key] = spec.kind === 'list' ? [] : undefined;
  const args: string[] = [];
  let at = 0;
  const following = (shown: string): string => {
    const word = words[at++];
    if (word === undefined) throw invalid(`flag needs an argument: ${shown}`);
    return word;
  };
  while (at < words.length) {
    const word = words[at++] ?? '';
    if (word === '--') return { values, args: [...args, ...words.slice(at)] };
    if (word.startsWith('--')) parseLong(word, { options, values, following });
    else if (word.startsWith('-') && word !== '-') parseShort(word, { options, values, following });
    else if (stopAtArgument) return { values, args: [word, ...words.slice(at)] };
    else args.push(word);
  }
  return { values, args };
}

interface Place {
  readonly options: Options;
  readonly values: Record<string, Value>;
  /** The next word, as the value of what is shown. */
  readonly following: (shown: string) => string;
}

function parseLong(word: string, { options, values, following }: Place): void {
  const equals = word.indexOf('=');
  const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
  const [key, spec] = Object.entries(options).find(([candidate, its]) => isNamed(candidate, its, name)) ?? [];
  if (key === undefined || !spec) {
    throw invalid(
      `unknown flag: --${name}${suggestion(
        `--${name}`,
        Object.keys(options).map((candidate) => `--${longName(candidate)}`),
      )}`,
    );
  }
  const value = equals >= 0 ? word.slice(equals + 1) : spec.kind === 'flag' ? 'true' : following(`--${name}`);
  setValue(values, key, { spec, value });
}

function parseShort(word: string, { options, values, following }: Place): void {
  for (let at = 1; at < word.length; at++) {
    const letter = word[at] ?? '';
    const [key, spec] = Object.entries(options).find(([, candidate]) => candidate.short === letter) ?? [];
    if (key === undefined || !spec) throw invalid(`unknown shorthand flag: '${letter}' in ${word}`);
    const rest = word.slice(at + 1);
    if (spec.kind === 'flag' && !rest.startsWith('=')) {
      setValue(values, key, { spec, value: 'true' });
      continue;
    }
    const value = rest === '' ? following(`'${letter}' in ${word}`) : rest.replace(/^=/, '');
    setValue(values, key, { spec, value });
    return;
  }
}

function setValue(
  values: Record<string, Value>,
  key: string,
  { spec, value }: { readonly spec: OptionSpec; readonly value: string },
): void {
  switch (spec.kind) {
    case 'flag':
      values[key] = booleanValue(key, value);
      break;
    case 'text':
      values[key] = value;
      break;
    case 'integer':
      values[key] = integerValue(key, value);
      break;
    case 'list': {
      const before = values[key];
      values[key] = [...(Array.isArray(before) ? before : []), ...(spec.commas ? value.split(',') : [value])];
    }
  }
}

/** Go's strconv.ParseBool. */
function booleanValue(key: string, value: string): boolean {
  if (/^(1|t|T|true|TRUE|True)$/.test(value)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(value)) return false;
  throw invalid(`invalid argument "${value}" for "--${longName(key)}" flag: it should be true or false`);
}

function integerValue(key: string, value: string): number {
  if (!/^[-+]?\d+$/.test(value) || !Number.isSafeInteger(Number(value))) {
    throw invalid(`invalid argument "${value}" for "--${longName(key)}" flag: it should be a whole number`);
  }
  return Number(value);
}
