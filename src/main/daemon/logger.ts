/** The daemon's log: pino, on stderr, without its worker threads (each costs 10 MB and more). */
import { writeSync } from 'node:fs';
import pino, { type Logger as PinoLogger } from 'pino';
import type { LogLevel } from './config.ts';

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: 'text' | 'json';
}

const STDERR = 2;

export function createLogger({ level, format }: LoggerOptions): PinoLogger {
  const write = format === 'json' ? writeLine : (line: string): void => writeLine(textLine(line));
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: plainError } }, { write });
}

/** Synchronous: what is logged just before an end is not lost. A full pipe makes us wait, a closed one does not stop us. */
function writeLine(line: string): void {
  const bytes = Buffer.from(line);
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(STDERR, bytes, done);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // 1 ms, for the reader to catch up
    }
  }
}

function plainError(error: unknown): unknown {
  return error instanceof Error ? { message: error.message, stack: error.stack } : error;
}

const WORDS: Readonly<Record<number, string>> = { 20: 'DEBUG', 30: 'INFO', 40: 'WARN', 50: 'ERROR', 60: 'FATAL' };

/** `2026-11-30T04:51:43.000Z INFO  created network a network=1a2b` */
export function textLine(json: string): string {
  const { level, time, msg, err, stack, ...fields } = JSON.parse(json) as Readonly<Record<string, unknown>>;
  const error = typeof err === 'object' && err !== null ? (err as Readonly<Record<string, unknown>>) : undefined;
  const words = Object.entries(fields).map(([key, value]) => `${key}=${fieldText(value)}`);
  if (error) words.push(`error=${fieldText(error['message'])}`);
  const trace = error?.['stack'] ?? stack;
  const head = `${String(time)} ${(WORDS[Number(level)] ?? String(level)).padEnd(5)} ${oneLine(typeof msg === 'string' ? msg : '')}`;
  const line = words.length === 0 ? head : `${head} ${words.join(' ')}`;
  return typeof trace === 'string' && Number(level) >= 50 ? `${line}\n${indent(trace)}\n` : `${line}\n`;
}

const fieldText = (value: unknown): string =>
  typeof value === 'string' && /^[\w./:@-]+$/.test(value) ? value : JSON.stringify(value);

/** Names come from users: a line break in one must not look like another line of the log. */
const oneLine = (text: string): string => text.replace(/[\r\n]+/g, ' | ');

const indent = (text: string): string =>
  text
    .split('\n')
    .map((line) => `    ${line.trim()}`)
    .join('\n');
