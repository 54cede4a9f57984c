/** Servers and clients of a part, in whatever namespaces. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readAll } from './moorline.ts';

export interface Running extends AsyncDisposable {
  readonly child: ChildProcess;
}

/**
 * Starts a server and waits for its first output.
 * @param enter command line that runs what follows it in the place
 */
export async function startServer(enter: readonly string[], ...line: readonly string[]): Promise<Running> {
  const [command = '', ...args] = [...enter, ...line];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await Promise.race([
    once(child.stdout, 'data'),
    ended.then(([code]) => Promise.reject(new Error(`${line.join(' ')} ended with ${String(code)}`))),
  ]);
  // Whatever else it says is of no interest, but must not stop it.
  child.stdout.resume();
  return {
    child,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Runs a command to its end. @returns what it prints @throws Error with that unless it exits with 0 */
export async function output(enter: readonly string[], ...line: readonly string[]): Promise<string> {
  const [command = '', ...args] = [...enter, ...line];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [text, [code]] = await Promise.all([readAll(child.stdout), once(child, 'close') as Promise<[number | null]>]);
  if (code !== 0) throw new Error(`${line.join(' ')} ended with ${String(code)}: ${text}`);
  return text;
}

/** Command line of a TypeScript program of this folder. */
export const program = (file: string, ...args: readonly (string | number)[]): readonly string[] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  `${import.meta.dirname}/${file}`,
  ...args.map(String),
];
