/** One line of conmon's `k8s-file`: `TIME STREAM TAG TEXT`, where tag F is a whole line, P a piece of one whose line feed is not the container's. */
import type { LogEntry } from '../../contracts/containers.ts';

const SPACE = 0x20;
const LINE_FEED = 0x0a;
const PARTIAL = 0x50; // P

export interface LogLine extends LogEntry {
  readonly partial: boolean;
}

/**
 * @param bytes with the line feed at the end; `data` of the result shares them
 * @returns null for what is no log line (a full disk leaves halves)
 */
export function parseLine(bytes: Buffer): LogLine | null {
  const afterTime = bytes.indexOf(SPACE);
  const afterStream = bytes.indexOf(SPACE, afterTime + 1);
  if (afterTime < 0 || afterStream < 0 || bytes[afterStream + 2] !== SPACE || bytes.at(-1) !== LINE_FEED) return null;
  const time = normalTime(bytes.toString('latin1', 0, afterTime));
  const stream = bytes.toString('latin1', afterTime + 1, afterStream);
  if (time === null || (stream !== 'stdout' && stream !== 'stderr')) return null;
  const partial = bytes[afterStream + 1] === PARTIAL;
  return { time, stream, partial, data: bytes.subarray(afterStream + 3, partial ? bytes.length - 1 : bytes.length) };
}

/** Does a line that ends before `end` (its line feed included) end a line of the container? */
export function isWholeLine(bytes: Buffer, start: number): boolean {
  const afterStream = bytes.indexOf(SPACE, bytes.indexOf(SPACE, start) + 1);
  return bytes[afterStream + 1] !== PARTIAL;
}

const NANO_DIGITS = 9;
const RFC3339 = /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|z|[+-]\d\d:\d\d)$/;

/**
 * RFC 3339 -> the same instant in UTC with nine digits of a second: such texts sort as they follow each other.
 * @returns null when it is none
 */
export function normalTime(text: string): string | null {
  const [, day = '', time = '', fraction = '', zone = ''] = RFC3339.exec(text) ?? [];
  if (day === '') return null;
  const nanoseconds = fraction.padEnd(NANO_DIGITS, '0');
  if (/^(Z|z|[+-]00:00)$/.test(zone)) return `${day}T${time}.${nanoseconds}Z`;
  const instant = Date.parse(`${day}T${time}${zone}`);
  if (Number.isNaN(instant)) return null;
  return `${new Date(instant).toISOString().slice(0, 'YYYY-MM-DDTHH:MM:SS'.length)}.${nanoseconds}Z`;
}
