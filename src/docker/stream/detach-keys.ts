/** The keys that end an attachment and leave the process running: `ctrl-p,ctrl-q`, in moby's notation (package term). */
import { invalid } from '../../base/errors.ts';

/** ctrl-p, ctrl-q */
const DEFAULT_KEYS: readonly number[] = [0x10, 0x11];

/** Control characters that are no letters, in the order of ASCII from 27 on; `@` is 0. */
const AFTER_LETTERS = '[\\]^_';

/** @param text comma separated keys; '' is the default. @returns bytes. @throws invalid with Docker's text */
export function parseDetachKeys(text: string): readonly number[] {
  if (text === '') return DEFAULT_KEYS;
  return text.split(',').map((key) => {
    const code = codeOf(key);
    if (code === null) throw invalid(`Invalid detach keys (${text}) provided`);
    return code;
  });
}

function codeOf(key: string): number | null {
  if (key.length === 1) return key.charCodeAt(0) < 128 ? key.charCodeAt(0) : null;
  const control = /^ctrl-(.)$/.exec(key)?.[1];
  if (control === undefined) return null;
  if (control === '@') return 0;
  if (control >= 'a' && control <= 'z') return control.charCodeAt(0) - 96;
  const index = AFTER_LETTERS.indexOf(control);
  return index < 0 ? null : 27 + index;
}

/** What of a chunk goes on to the process, and whether the keys have been typed in full. */
export interface Filtered {
  readonly data: Buffer;
  readonly detached: boolean;
}

/** Looks for the keys in what is typed, over the borders of chunks. The start of them is held back until it is known to be none. */
export function detachFilter(keys: readonly number[]): (chunk: Buffer) => Filtered {
  let matched = 0;
  return (chunk) => {
    const out: number[] = [];
    for (const byte of chunk) {
      if (byte === keys[matched]) {
        matched += 1;
        if (matched === keys.length) return { data: Buffer.from(out), detached: true };
        continue;
      }
      out.push(...keys.slice(0, matched));
      matched = byte === keys[0] ? 1 : 0;
      if (matched === 0) out.push(byte);
    }
    return { data: Buffer.from(out), detached: false };
  };
}
