/** Tunnel processes as files and pids: starting one, finding one that an earlier daemon left, ending what does not answer. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MoorError } from '../../base/errors.ts';
import type { IpAddress } from '../../base/ip.ts';
import { hasCode } from '../../sys/errors.ts';
import type { Fd } from '../../sys/fd.ts';
import { hasExited, openPid, pidExit, signalPid } from '../../sys/process.ts';
import { connectUnix, listenUnix } from '../../sys/unix.ts';
import { Link } from './link.ts';
import { CONTROL, INHERITED, LAST_WORDS, PIDFILE, type TunnelProcessData } from './protocol.ts';

export const PROGRAM = new URL('./worker.ts', import.meta.url);

/**
 * Of V8: a small heap, as nothing is allocated for a packet and tables of peers are what it holds; one helper thread, which compiles; no thread that waits for SIGUSR1. Not
 * --optimize-for-size, with which the daemon runs: packets are what this process is for.
 */
const FLAGS = [
  '--max-old-space-size=128',
  '--max-semi-space-size=1',
  '--v8-pool-size=1',
  '--disable-sigusr1',
  '--disable-warning=ExperimentalWarning',
];

/** Milliseconds that a process gets for its last steps. */
const ENDING = 5_000;

/** What a process works on; its own descriptors are copies. */
export interface Carried {
  readonly device: string;
  readonly local: { readonly address: IpAddress; readonly port: number };
  readonly tun: Fd;
  readonly udp: Fd;
  readonly udpSegments: boolean;
  readonly priority: boolean;
}

/** A bundle names its parts by their contents, so that its first file tells all of it apart. */
export const buildOf = (program: URL): string => createHash('sha256').update(readFileSync(program)).digest('hex').slice(0, 16);

/**
 * Starts a process on a device and a socket. It carries packets from its first peers on.
 * @param directory its folder: it is made, and the control socket of another one in it is replaced
 * @throws unavailable with its last words
 */
export async function launch(directory: string, carried: Carried, program: URL): Promise<Link> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const place = { directory, name: CONTROL };
  rmSync(`${directory}/${CONTROL}`, { force: true });
  const { device, local, udpSegments, priority } = carried;
  const data: TunnelProcessData = { directory, device, local, udpSegments, priority, build: buildOf(program) };
  const child = start(place, { data, carried, program });
  const ended = once(child, 'exit');
  try {
    return await Link.meet(connectUnix(place));
  } catch (error) {
    child.kill('SIGKILL');
    await ended;
    const text = error instanceof Error ? error.message : String(error);
    throw new MoorError('unavailable', `Cannot start the tunnel process of ${device}: ${lastWords(directory) || text}`);
  }
}

interface Birth {
  readonly data: TunnelProcessData;
  readonly carried: Carried;
  readonly program: URL;
}

function start(place: { readonly directory: string; readonly name: string }, { data, carried, program }: Birth): ChildProcess {
  // Before the process is there: whoever looks for it, also after our end, finds it from its first moment on.
  using listener = listenUnix(place);
  const words = openSync(`${place.directory}/${LAST_WORDS}`, 'w', 0o600);
  try {
    const stdio: (number | 'ignore')[] = ['ignore', 'ignore', words];
    stdio[INHERITED.tun] = carried.tun.number;
    stdio[INHERITED.udp] = carried.udp.number;
    stdio[INHERITED.listener] = listener.number;
    const child = spawn(process.execPath, [...FLAGS, fileURLToPath(program), JSON.stringify(data)], {
      cwd: '/',
      // A session of its own: it is not for whoever interrupts or stops the daemon.
      detached: true,
      env: { MALLOC_ARENA_MAX: '1' },
      stdio,
    });
    // Waited for, but no reason to go on.
    child.unref();
    return child;
  } finally {
    closeSync(words);
  }
}

/** What a process wrote before it ended: the message of its error, without the place. */
export function lastWords(directory: string): string {
  try {
    const text = readFileSync(`${directory}/${LAST_WORDS}`, 'utf8');
    return /^(?:\w*Error): (.+)$/m.exec(text)?.[1] ?? text.trim().split('\n').at(-1) ?? '';
  } catch {
    return '';
  }
}

/** A connection to the process of an earlier daemon, before it has greeted. null: there is none that could */
export function reach(directory: string): Fd | null {
  try {
    return connectUnix({ directory, name: CONTROL });
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ECONNREFUSED')) return null;
    throw error;
  }
}

/** Ends a process that does not answer, by its pid. */
export async function kill(directory: string): Promise<void> {
  let pid: number;
  try {
    pid = Number(readFileSync(`${directory}/${PIDFILE}`, 'utf8'));
  } catch {
    return;
  }
  if (!Number.isInteger(pid) || pid <= 1) return;
  try {
    using found = openPid(pid);
    if (hasExited(found)) return;
    // Numbers are used again: the command line has the folder in it. One that is about to end has none any more, and may still have its descriptors.
    const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    if (line !== '' && !line.includes(`"${directory}"`)) return;
    if (line !== '') signalPid(found, 'SIGKILL');
    await pidExit(found, AbortSignal.timeout(ENDING)).catch(() => {});
  } catch (error) {
    if (!hasCode(error, 'ESRCH', 'ENOENT')) throw error;
  }
}

/** Ends what an earlier daemon has left in a folder, if it is there, and removes the folder. */
export async function endLeftTunnel(directory: string): Promise<void> {
  if (!existsSync(directory)) return;
  const socket = reach(directory);
  if (socket !== null) {
    try {
      const link = await Link.meet(socket);
      await link.stop();
      link.tun.close();
      link.udp.close();
    } catch {
      // It is ended by force below.
    }
  }
  await kill(directory);
  rmSync(directory, { recursive: true, force: true });
}
