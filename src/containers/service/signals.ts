/** Signals by name or number, as `docker kill` takes them. */
import { constants } from 'node:os';
import { invalid } from '../../base/errors.ts';
import { shown } from '../../base/shown.ts';

/** SIGRTMIN and SIGRTMAX of the GNU C library, signal(7): the first two real-time signals are its own. */
const REAL_TIME = { min: 34, max: 64 } as const;

/** @returns the number @throws invalid `Invalid signal: x` */
export function parseSignal(text: string): number {
  if (/^\d{1,2}$/.test(text)) {
    const number = Number(text);
    if (number >= 1 && number <= REAL_TIME.max) return number;
    throw unknown(text);
  }
  const name = text.toUpperCase().replace(/^(?!SIG)/, 'SIG');
  const known = (constants.signals as Readonly<Record<string, number>>)[name];
  if (known !== undefined) return known;
  const match = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (!match) throw unknown(text);
  const number = (match[1] === 'MIN' ? REAL_TIME.min : REAL_TIME.max) + (match[2] === '-' ? -1 : 1) * Number(match[3] ?? 0);
  if (number < REAL_TIME.min || number > REAL_TIME.max) throw unknown(text);
  return number;
}

const unknown = (text: string): Error => invalid(`Invalid signal: ${shown(text)}`);
