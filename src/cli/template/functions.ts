/** Functions of `--format` templates: Go's own and those that Docker's CLI adds (json, join, split, lower, upper, title, pad, truncate). */
import { invalid } from '../../base/errors.ts';
import { formatVerbs } from './printf.ts';
import { isMap, isTrue, printValue, toJson, typeName } from './value.ts';

export type TemplateFunction = (...args: readonly unknown[]) => unknown;

/** Thrown with a reason only; the evaluator adds where. */
const refuse = (why: string): Error => invalid(why);

function asString(value: unknown): string {
  if (typeof value === 'string') return value;
  throw refuse(`wrong type for value; expected string; got ${typeName(value)}`);
}

function asInteger(value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  throw refuse(`wrong type for value; expected int; got ${typeName(value)}`);
}

function index(item: unknown, ...keys: readonly unknown[]): unknown {
  let value = item;
  for (const key of keys) {
    if (Array.isArray(value) || typeof value === 'string') {
      const at = asInteger(key);
      if (at < 0 || at >= value.length) throw refuse(`error calling index: index out of range: ${at}`);
      value = typeof value === 'string' ? value.charCodeAt(at) : (value[at] as unknown);
    } else if (isMap(value)) {
      const name = asString(key);
      // A map of strings (labels, options) answers '' for what it lacks; one of anything answers nil.
      value = Object.hasOwn(value, name)
        ? value[name]
        : Object.values(value).every((entry) => typeof entry === 'string')
          ? ''
          : null;
    } else if (value === null || value === undefined) {
      throw refuse('error calling index: index of untyped nil');
    } else {
      throw refuse(`error calling index: can't index item of type ${typeName(value)}`);
    }
  }
  return value;
}

function length(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (isMap(value)) return Object.keys(value).length;
  throw refuse(
    value === null || value === undefined
      ? 'error calling len: len of nil pointer'
      : `error calling len: len of type ${typeName(value)}`,
  );
}

function slice(value: unknown, ...bounds: readonly unknown[]): unknown {
  if (typeof value !== 'string' && !Array.isArray(value))
    throw refuse(`error calling slice: can't slice item of type ${typeName(value)}`);
  const [from, to] = [asInteger(bounds[0] ?? 0), asInteger(bounds[1] ?? value.length)];
  if (from < 0 || to > value.length || from > to) throw refuse(`error calling slice: index out of range: ${Math.max(from, to)}`);
  return value.slice(from, to) as unknown;
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0;
  throw refuse('error calling lt: incompatible types for comparison');
}

function equal(a: unknown, b: unknown): boolean {
  if ((a ?? null) === null || (b ?? null) === null) return (a ?? null) === (b ?? null);
  if (typeof a !== typeof b) throw refuse('error calling eq: incompatible types for comparison');
  if (typeof a === 'object') throw refuse('error calling eq: non-comparable type');
  return a === b;
}

/** Go's Sprint: a space between operands when neither is a string. */
function print(...args: readonly unknown[]): string {
  return args
    .map((value, i) =>
      i > 0 && typeof value !== 'string' && typeof args[i - 1] !== 'string' ? ` ${printValue(value)}` : printValue(value),
    )
    .join('');
}

const join = (items: unknown, separator: unknown): string => {
  if (!Array.isArray(items)) throw refuse(`wrong type for value; expected []string; got ${typeName(items)}`);
  return items.map(printValue).join(asString(separator));
};

/** Where the first operand with this truth stands; the last one decides when there is none. */
const decisive = (args: readonly unknown[], truth: boolean): number => {
  const at = args.findIndex((value) => isTrue(value) === truth);
  return at < 0 ? args.length - 1 : at;
};

export const FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map<string, TemplateFunction>(
  Object.entries({
    json: (value) => toJson(value),
    split: (value, separator) => asString(value).split(asString(separator)),
    join,
    title: (value) =>
      asString(value).replaceAll(/(^|\s)(\p{Ll})/gu, (_, before: string, letter: string) => before + letter.toUpperCase()),
    lower: (value) => asString(value).toLowerCase(),
    upper: (value) => asString(value).toUpperCase(),
    pad: (value, before, after) => {
      const padded = asString(value);
      return padded === '' ? '' : ' '.repeat(asInteger(before)) + padded + ' '.repeat(asInteger(after));
    },
    truncate: (value, count) => Array.from(asString(value)).slice(0, asInteger(count)).join(''),
    print,
    println: (...args) => `${args.map(printValue).join(' ')}\n`,
    printf: (format, ...args) => formatVerbs(asString(format), args),
    len: length,
    index,
    slice,
    eq: (first, ...others) => others.some((other) => equal(first, other)),
    ne: (a, b) => !equal(a, b),
    lt: (a, b) => compare(a, b) < 0,
    le: (a, b) => compare(a, b) <= 0,
    gt: (a, b) => compare(a, b) > 0,
    ge: (a, b) => compare(a, b) >= 0,
    not: (value) => !isTrue(value),
    // Go stops evaluating at the deciding operand; the values have no effects, so the last look is the same.
    and: (...args) => args[decisive(args, false)],
    or: (...args) => args[decisive(args, true)],
  } satisfies Record<string, TemplateFunction>),
);
