/** Points in time as Docker's clients write them: Unix seconds, RFC 3339 (also shortened), or a Go duration before now. */
import { invalid } from '../base/errors.ts';

/** milliseconds */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Go's `time.ParseDuration`: `1h30m`, `10.5s`. @returns milliseconds, or null when the text is none */
export function parseDuration(text: string): number | null {
  if (text === '0') return 0;
  const match = /^([-+]?)((?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.exec(text);
  if (!match) return null;
  let total = 0;
  for (const [, value = '', unit = ''] of text.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    total += Number(value) * (UNITS[unit] ?? 0);
  }
  return match[1] === '-' ? -total : total;
}

/** `1136073600.000000001` -> milliseconds, or null. Digits beyond milliseconds are dropped. */
export function parseUnixTime(text: string): number | null {
  const match = /^(-?\d{1,12})(?:\.(\d{1,18}))?$/.exec(text);
  if (!match) return null;
  return Number(match[1]) * 1000 + Math.floor(Number(`0.${match[2] ?? '0'}`) * 1000);
}

/**
 * @param now milliseconds since the epoch, from which a duration counts back
 * @returns milliseconds since the epoch
 * @throws invalid with Docker's text
 */
export function parseTimestamp(text: string, now: number): number {
  const unix = parseUnixTime(text);
  if (unix !== null) return unix;
  const duration = parseDuration(text);
  if (duration !== null) return now - duration;
  const date = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2})(?::(\d{2})(?::(\d{2})(\.\d{1,9})?)?)?)?(Z|z|[-+]\d{2}:\d{2})?$/.exec(text);
  if (date) {
    const [, day = '', hour = '00', minute = '00', second = '00', fraction = '', zone = ''] = date;
    // Without a zone it is local time, also for a date alone (which Date.parse would read as UTC).
    const value = Date.parse(`${day}T${hour}:${minute}:${second}${fraction.slice(0, 4)}${zone.toUpperCase()}`);
    if (!Number.isNaN(value)) return value;
  }
  throw invalid(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
}

/**
 * As `parseTimestamp`, to the nanosecond where the text says so.
 * @returns RFC 3339 in UTC with nine digits
 */
export function parseMoment(text: string, now: number): string {
  const unix = /^(-?\d{1,12})(?:\.(\d{1,9})\d*)?$/.exec(text);
  const written = /T\d{2}:\d{2}:\d{2}\.(\d{1,9})/.exec(text);
  const fraction = unix ? (unix[2] ?? '') : written?.[1];
  const time = unix ? Number(unix[1]) * 1000 : parseTimestamp(text, now);
  const whole = new Date(time);
  if (Number.isNaN(whole.getTime())) throw invalid(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
  const iso = whole.toISOString();
  return fraction === undefined ? iso.replace('Z', '000000Z') : `${iso.slice(0, 19)}.${fraction.padEnd(9, '0')}Z`;
}
