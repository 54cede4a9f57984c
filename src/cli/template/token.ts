/** Lexical part of Go's text/template, as far as it is used with `--format`: text, actions, and the words inside an action. */
import { invalid } from '../../base/errors.ts';

/** `offset` counts UTF-16 units from the start of the template. */
export type Token =
  | { readonly type: 'text'; readonly value: string; readonly offset: number }
  | { readonly type: 'open' | 'close'; readonly offset: number }
  /** `.`, `.Name`, `$name`, `name`; a chain `.A.B` is two tokens with no `space` between */
  | { readonly type: 'dot'; readonly offset: number }
  | { readonly type: 'field' | 'variable' | 'word'; readonly value: string; readonly offset: number }
  | { readonly type: 'string'; readonly value: string; readonly offset: number }
  | { readonly type: 'number'; readonly value: number; readonly offset: number }
  | { readonly type: '(' | ')' | '|' | ',' | '=' | ':=' | 'space'; readonly offset: number };

/** @param line 1-based line the offset is in; Go names it in every error */
export function templateError(source: string, offset: number, what: string): Error {
  return invalid(`template parsing error: template: :${lineOf(source, offset)}: ${what}`);
}

export const lineOf = (source: string, offset: number): number => source.slice(0, offset).split('\n').length;

/** Words of an action, tried in this order at each position. */
const RULES: readonly (readonly [pattern: RegExp, make: (match: RegExpExecArray, offset: number) => Token])[] = [
  [/\s+/y, (_, offset) => ({ type: 'space', offset })],
  [/:=|[()|,=]/y, (match, offset) => ({ type: match[0] as '(' | ')' | '|' | ',' | '=' | ':=', offset })],
  [/"(?:[^"\\\n]|\\.)*"/y, (match, offset) => ({ type: 'string', value: unquote(match[0]), offset })],
  [/`([^`]*)`/y, (match, offset) => ({ type: 'string', value: match[1] ?? '', offset })],
  [/'(?:[^'\\\n]|\\.)'/y, (match, offset) => ({ type: 'number', value: unquote(match[0]).codePointAt(0) ?? 0, offset })],
  [
    /[-+]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[-+]?\d+)?)(?![\w.])/y,
    (match, offset) => ({ type: 'number', value: Number(match[0]), offset }),
  ],
  [/\.([\p{L}_][\p{L}\p{N}_]*)/uy, (match, offset) => ({ type: 'field', value: match[1] ?? '', offset })],
  [/\./y, (_, offset) => ({ type: 'dot', offset })],
  [/\$([\p{L}\p{N}_]*)/uy, (match, offset) => ({ type: 'variable', value: match[1] ?? '', offset })],
  [/[\p{L}_][\p{L}\p{N}_]*/uy, (match, offset) => ({ type: 'word', value: match[0], offset })],
];

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', a: '\u0007', b: '\b', f: '\f', v: '\v' };

/** A literal in quotes -> its value. */
function unquote(literal: string): string {
  return literal
    .slice(1, -1)
    .replaceAll(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)/g, (_, code: string) =>
      code.length > 1 ? String.fromCodePoint(Number.parseInt(code.slice(1), 16)) : (ESCAPES[code] ?? code),
    );
}

/** @throws invalid in Go's words for what cannot be a template */
export function tokenize(source: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let trimNext = false;
  while (at < source.length) {
    const open = source.indexOf('{{', at);
    const trimsLeft = open >= 0 && /^\{\{-\s/.test(source.slice(open, open + 4));
    let value = source.slice(at, open < 0 ? source.length : open);
    if (trimNext) value = value.trimStart();
    if (trimsLeft) value = value.trimEnd();
    if (value !== '') tokens.push({ type: 'text', value, offset: at });
    if (open < 0) break;
    const start = open + (trimsLeft ? 3 : 2);
    const comment = /\s*\/\*[\s\S]*?\*\/(\s-)?\s*\}\}/y;
    comment.lastIndex = start;
    const skipped = comment.exec(source);
    if (skipped) {
      trimNext = skipped[1] !== undefined;
      at = comment.lastIndex;
      continue;
    }
    ({ at, trimNext } = tokenizeAction(source, { open, start }, tokens));
  }
  return tokens;
}

function tokenizeAction(
  source: string,
  place: { readonly open: number; readonly start: number },
  tokens: Token[],
): { at: number; trimNext: boolean } {
  tokens.push({ type: 'open', offset: place.open });
  let at = place.start;
  for (;;) {
    const close = /(\s-)?\}\}/y;
    close.lastIndex = at;
    const closed = close.exec(source);
    if (closed) {
      tokens.push({ type: 'close', offset: at });
      return { at: close.lastIndex, trimNext: closed[1] !== undefined };
    }
    const found = next(source, at);
    if (!found) {
      if (at >= source.length) throw templateError(source, place.open, 'unclosed action');
      if (source[at] === '"') throw templateError(source, at, 'unterminated quoted string');
      throw templateError(source, at, `unexpected ${JSON.stringify(source[at])} in operand`);
    }
    tokens.push(found.token);
    at = found.end;
  }
}

function next(source: string, at: number): { readonly token: Token; readonly end: number } | null {
  for (const [pattern, make] of RULES) {
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    if (match) {
      // " -}}" closes the action; the space rule must leave it alone.
      const end =
        match[0].trim() === '' && source.startsWith('-}}', pattern.lastIndex) ? pattern.lastIndex - 1 : pattern.lastIndex;
      if (end > at) return { token: make(match, at), end };
      return null;
    }
  }
  return null;
}
