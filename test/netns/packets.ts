/** Real packets between namespaces: who gets through, and under which address. */
import '../support/isolated.ts';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A namespace file, or `host`: the namespace of this process. */
export type Place = string;
export const HERE: Place = 'host';

export const inside = (place: Place, command: readonly string[]): readonly string[] =>
  place === HERE ? command : ['nsenter', `--net=${place}`, ...command];

/** Runs a command in a namespace. @throws with its stderr when it fails. */
export async function at(place: Place, ...command: readonly string[]): Promise<string> {
  const [file = '', ...args] = inside(place, command);
  return (await run(file, args)).stdout;
}

/** Port of the test's servers. */
export const PORT = 7777;

/**
 * For a packet that must not arrive: seconds to wait. Everything here is on one machine and takes microseconds. A busy machine can
 * only make such a check pass that should fail, never the reverse.
 */
const SILENCE_SECONDS = 1;
/** For one that must: as long as it takes. */
const PATIENCE_SECONDS = 30;

const SERVER = `require('node:net').createServer((peer) => peer.end(peer.remoteAddress.replace('::ffff:', ''))).listen(${PORT}, '::', () => console.log('up'))`;

/** A TCP server in a namespace that tells each client the address it sees it under. */
export async function serve(place: Place): Promise<AsyncDisposable> {
  const [file = '', ...args] = inside(place, [process.execPath, '-e', SERVER]);
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return { [Symbol.asyncDispose]: () => end(child) };
}

/** Ends a child process. */
export async function end(child: ChildProcess): Promise<void> {
  const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
  child.kill('SIGKILL');
  await ended;
}

/** Connects by TCP. @returns the client's address as the server sees it, or null when nothing answered. */
async function connect(place: Place, address: string, seconds: number): Promise<string | null> {
  const script = `exec 3<>/dev/tcp/${address}/${PORT} && cat <&3`;
  try {
    return await at(place, 'timeout', String(seconds), 'bash', '-c', script);
  } catch {
    return null;
  }
}

/** The address under which a server there sees us; waits until it answers, null when it never does. */
export const seenAs = (place: Place, address: string): Promise<string | null> => connect(place, address, PATIENCE_SECONDS);

/** Whether no connection to the server there comes about. */
export const silent = async (place: Place, address: string): Promise<boolean> =>
  (await connect(place, address, SILENCE_SECONDS)) === null;

/** One ICMP echo that must be answered. */
export async function pings(place: Place, address: string): Promise<boolean> {
  try {
    await at(place, 'ping', '-n', '-c', '1', '-w', String(PATIENCE_SECONDS), address);
    return true;
  } catch {
    return false;
  }
}
