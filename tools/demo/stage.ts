/** The terminal the demonstration plays on: every command line is shown as a user would type it, with what it printed. */
import type { RunResult, TestDaemon } from '../../test/support/daemon.ts';

const colour = process.stdout.isTTY && !process.env['NO_COLOR'];
const paint = (code: number, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);

/** A step went otherwise than it should. */
export class DemoError extends Error {}

/** Somebody wants to see no more. */
export class Interrupted extends Error {}

export const heading = (text: string): void => console.log(`\n${paint(1, text)}`);
export const say = (text: string): void => console.log(paint(2, `# ${text}`));

export interface Stage {
  /** Runs `moor` and shows it. @throws DemoError unless it exits with `status` (0) */
  readonly moor: (args: readonly string[], expected?: Expected) => Promise<string>;
  /** The same for any other command, in the namespaces of the private host. */
  readonly host: (args: readonly string[], expected?: Expected) => Promise<string>;
  /** Shows a command that is left running, and that somebody else starts. */
  readonly background: (args: readonly string[]) => void;
}

export interface Expected {
  /** any other than 0 when it is 'failure' */
  readonly status?: 0 | 'failure';
  /** What the output has to say. */
  readonly says?: RegExp;
  /** Lines shown, from the end; the rest is left out. */
  readonly last?: number;
  /** Lines shown: those that match. */
  readonly only?: RegExp;
}

interface Seat {
  /** Whose terminal it is, before the prompt; '' when there is only one. */
  readonly host?: string;
  /** Aborted when somebody wants to see no more: what runs then has been told by the terminal, too. */
  readonly signal?: AbortSignal;
}

export function createStage(daemon: Pick<TestDaemon, 'moor' | 'inside'>, { host = '', signal }: Seat = {}): Stage {
  const prompt = host === '' ? '$' : `${host} $`;
  const type = (shown: readonly string[], more = ''): void =>
    console.log(`${paint(32, prompt)} ${shown.map(quoted).join(' ')}${more}`);
  const play = async (shown: readonly string[], run: () => Promise<RunResult>, expected: Expected = {}): Promise<string> => {
    type(shown);
    const result = await run();
    if (signal?.aborted) throw new Interrupted();
    const text = (result.stdout + result.stderr).trimEnd();
    const lines = text.split('\n').filter((line) => line.trim() !== '' && (expected.only?.test(line) ?? true));
    for (const line of expected.last === undefined ? lines : lines.slice(Math.max(0, lines.length - expected.last)))
      console.log(`  ${line.trimEnd()}`);
    const right = expected.status === 'failure' ? result.code !== 0 : result.code === 0;
    if (!right) throw new DemoError(`${shown.join(' ')}: exit status ${result.code}`);
    if (expected.says && !expected.says.test(text))
      throw new DemoError(`${shown.join(' ')}: the output does not match ${expected.says}`);
    return result.stdout;
  };
  return {
    moor: (args, expected) => play(['moor', ...args], () => daemon.moor(...args), expected),
    host: (args, expected) => play(args, () => daemon.inside(args[0] ?? 'true', ...args.slice(1)), expected),
    background: (args) => type(args, ' &'),
  };
}

/** As one would type it in a shell. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`);
