/** Docker's `filters` parameter: a JSON map from key to set of values, and how values are compared. */
import { invalid } from '../base/errors.ts';

export class Filters {
  private readonly fields: ReadonlyMap<string, readonly string[]>;

  constructor(fields: ReadonlyMap<string, readonly string[]>) {
    this.fields = fields;
  }

  has(key: string): boolean {
    return this.fields.has(key);
  }

  /** Values of a key; none when it is absent. */
  values(key: string): readonly string[] {
    return this.fields.get(key) ?? [];
  }

  /** @throws invalid `invalid filter 'x'` for a key that is not among those accepted */
  accept(keys: readonly string[]): void {
    for (const key of this.fields.keys()) {
      if (!keys.includes(key)) throw invalid(`invalid filter '${key}'`);
    }
  }

  /** One of the values is the text; also when there are none. */
  exact(key: string, text: string): boolean {
    const values = this.values(key);
    return values.length === 0 || values.includes(text);
  }

  /** One of the values is the text or matches it as a regular expression, anywhere in it: a part of the text is enough. */
  matches(key: string, text: string): boolean {
    return this.exact(key, text) || this.values(key).some((value) => expression(value)?.test(text) ?? false);
  }

  /** One of the values is the text or the start of it. */
  startsWith(key: string, text: string): boolean {
    return this.exact(key, text) || this.values(key).some((value) => text.startsWith(value));
  }

  /** All the values, `key` or `key=value`, are among the labels; also when there are none. */
  labels(key: string, labels: Readonly<Record<string, string>>): boolean {
    return this.values(key).every((value) => {
      const equals = value.indexOf('=');
      const name = equals < 0 ? value : value.slice(0, equals);
      return Object.hasOwn(labels, name) && (equals < 0 || labels[name] === value.slice(equals + 1));
    });
  }

  /**
   * The one value of a key as a boolean, undefined when the key is absent.
   * @throws invalid with Docker's texts for several values and for others than true, 1, false, 0
   */
  boolean(key: string): boolean | undefined {
    if (!this.has(key)) return undefined;
    const values = this.values(key);
    if (values.length > 1) throw invalid(`got more than one value for filter key "${key}"`);
    if (values[0] === '1' || values[0] === 'true') return true;
    if (values[0] === '0' || values[0] === 'false') return false;
    throw invalid(`invalid value for filter '${key}', must be "true" (or "1"), or "false" (or "0")`);
  }
}

/** Not in Go's expressions: back references and looking around. */
const NOT_RE2 = /\\[1-9]|\\k<|\(\?<?[=!]/;

/**
 * A value as a regular expression, null when it is none (then only equality counts, as in Docker). Go's leading `(?i)` is
 * understood. That an evil expression cannot hold up the thread is seen to by V8's linear engine, which `moord` switches on; it
 * takes all that Go takes.
 */
function expression(value: string): RegExp | null {
  if (NOT_RE2.test(value)) return null;
  const flags = /^\(\?([ims]+)\)/.exec(value);
  try {
    return flags ? new RegExp(value.slice(flags[0].length), flags[1]) : new RegExp(value);
  } catch {
    return null;
  }
}

/**
 * @param text `{"name":{"a":true}}`, or as older clients write it `{"name":["a"]}`; '' is no filter
 * @throws invalid for anything else
 */
export function parseFilters(text: string): Filters {
  const fields = new Map<string, readonly string[]>();
  if (text === '') return new Filters(fields);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('invalid filter');
  }
  if (value === null) return new Filters(fields);
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid('invalid filter');
  for (const [key, set] of Object.entries(value) as [string, unknown][]) fields.set(key, valuesOf(set));
  return new Filters(fields);
}

function valuesOf(set: unknown): readonly string[] {
  if (set === null) return [];
  if (Array.isArray(set) && set.every((item) => typeof item === 'string')) return [...new Set(set)];
  if (typeof set === 'object' && !Array.isArray(set) && Object.values(set).every((item) => typeof item === 'boolean')) {
    return Object.keys(set);
  }
  throw invalid('invalid filter');
}
