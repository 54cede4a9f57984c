/** Standard streams as the commands see them. */
import { readSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { Output, Terminal } from '../../cli/ports.ts';

/**
 * Blocking writes: what a command prints is out before it ends or becomes another program, and the streams of Node, which take longer to load
 * than the rest of the CLI, are not needed.
 */
function output(fd: 1 | 2, environment: NodeJS.ProcessEnv): Output {
  const isTerminal = isatty(fd);
  return {
    isTerminal,
    colour: isTerminal && !environment['NO_COLOR'] && environment['TERM'] !== 'dumb',
    write: (text) => writeAll(fd, Buffer.from(text)),
  };
}

/** SIGPIPE's status: what a shell shows for a program whose reader has gone. */
const BROKEN_PIPE = 128 + 13;

function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Somebody else made the pipe non-blocking, and its reader is slow: give it time.
      if (code === 'EAGAIN') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      else if (code === 'EPIPE') process.exit(BROKEN_PIPE);
      else throw error;
    }
  }
}

/** One line from standard input, byte by byte so that nothing behind it is taken from whoever reads next. */
function readLine(): string | null {
  const bytes: number[] = [];
  const one = Buffer.alloc(1);
  for (;;) {
    let count: number;
    try {
      count = readSync(0, one);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
        continue;
      }
      return null;
    }
    if (count === 0) return bytes.length === 0 ? null : Buffer.from(bytes).toString('utf8');
    if (one[0] === 10) return Buffer.from(bytes).toString('utf8');
    bytes.push(one[0] ?? 0);
  }
}

export function createTerminal(environment: NodeJS.ProcessEnv): Terminal {
  const out = output(1, environment);
  return {
    out,
    err: output(2, environment),
    ask: (question) => {
      out.write(question);
      return Promise.resolve(readLine());
    },
  };
}
