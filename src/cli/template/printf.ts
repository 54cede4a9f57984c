/** Go's formatting verbs %s %v %q %d %x %t %f with flags, width and precision. */
import { displayWidth } from '../output/width.ts';
import { printValue, toJson, typeName } from './value.ts';

const VERB = /%([-+ 0#]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g;

interface Verb {
  readonly flags: string;
  /** columns */
  readonly width: number;
  readonly precision: string | undefined;
  readonly verb: string;
}

/** Mistakes show in the output, in Go's way, instead of failing. */
export function formatVerbs(format: string, args: readonly unknown[]): string {
  const parts: string[] = [];
  let used = 0;
  let at = 0;
  for (const match of format.matchAll(VERB)) {
    const [whole, flags = '', width = '', precision, verb = ''] = match;
    parts.push(format.slice(at, match.index));
    at = match.index + whole.length;
    if (verb === '%') parts.push('%');
    else if (used >= args.length) parts.push(`%!${verb}(MISSING)`);
    else parts.push(padded({ flags, width: Number(width), precision, verb }, args[used++]));
  }
  const extra = args.slice(used).map((value) => `${typeName(value)}=${printValue(value)}`);
  return parts.join('') + format.slice(at) + (extra.length === 0 ? '' : `%!(EXTRA ${extra.join(', ')})`);
}

function padded({ flags, width, precision, verb }: Verb, value: unknown): string {
  const body = formatOne(verb, value, precision);
  const missing = width - displayWidth(body);
  if (missing <= 0) return body;
  if (flags.includes('-')) return body + ' '.repeat(missing);
  if (!flags.includes('0') || verb === 's' || verb === 'v') return ' '.repeat(missing) + body;
  return body.startsWith('-') ? `-${'0'.repeat(missing)}${body.slice(1)}` : '0'.repeat(missing) + body;
}

function formatOne(verb: string, value: unknown, precision: string | undefined): string {
  switch (verb) {
    case 's':
    case 'v': {
      const text = printValue(value);
      return precision === undefined ? text : Array.from(text).slice(0, Number(precision)).join('');
    }
    case 'q':
      return toJson(printValue(value));
    case 'd':
      return typeof value === 'number' ? String(Math.trunc(value)) : `%!d(${typeName(value)}=${printValue(value)})`;
    case 'x':
      return typeof value === 'number' ? value.toString(16) : Buffer.from(printValue(value)).toString('hex');
    case 't':
      return typeof value === 'boolean' ? String(value) : `%!t(${typeName(value)}=${printValue(value)})`;
    case 'f':
      return typeof value === 'number' ? value.toFixed(Number(precision ?? 6)) : `%!f(${typeName(value)}=${printValue(value)})`;
    default:
      return `%!${verb}(${typeName(value)}=${printValue(value)})`;
  }
}
