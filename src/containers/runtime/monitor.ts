/** conmon: starting one, and what it leaves for us to read. Version 2.1. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import type { Id } from '../../base/ids.ts';
import { MoorError } from '../../base/errors.ts';
import type { ExitStatus } from '../../contracts/containers.ts';
import type { Host } from './host.ts';
import type { MonitorPaths } from './paths.ts';

export interface MonitorOptions {
  readonly host: Host;
  readonly runtimeRoot: string;
  readonly paths: MonitorPaths;
  readonly container: Id;
  readonly tty: boolean;
  readonly stdin: boolean;
  /** Keep the process's input open when nobody is attached any more. */
  readonly leaveStdinOpen: boolean;
  /** null: keep no log */
  readonly log: { readonly path: string /** bytes, 0 = no limit */; readonly limit: number } | null;
  /** Another process of a container that runs. */
  readonly exec?: {
    readonly id: Id;
    /** File with its `process` object. */
    readonly spec: string;
    /** Called before the process starts, when its streams can be attached to. */
    readonly ready: () => void;
  };
}

/** Descriptors in conmon; 0 to 2 are the standard streams. */
const SYNC = 3;
const START = 4;
const ATTACH = 5;
/** `struct sockaddr_un` less the name that conmon gives to its terminal socket. */
const SHORT_PATH = 107 - '/conmon-term.XXXXXX'.length;

/**
 * Starts conmon and through it the runtime's `create` or `exec`.
 * @returns pid of the process
 * @throws with the runtime's own words
 */
export async function startMonitor(options: MonitorOptions): Promise<number> {
  const { host, paths, exec } = options;
  const child = spawn(host.conmon, commandLine(options), {
    cwd: paths.directory,
    detached: true,
    env: {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      TZ: 'UTC', // of the times in the log
      ...(paths.directory.length <= SHORT_PATH ? { TMPDIR: paths.directory } : {}),
      _OCI_SYNCPIPE: String(SYNC),
      ...(exec ? { _OCI_STARTPIPE: String(START), _OCI_ATTACHPIPE: String(ATTACH) } : {}),
    },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', ...(exec ? (['pipe', 'pipe'] as const) : [])],
  });
  const ended = once(child, 'exit');
  const stdio: readonly (Readable | Writable | null | undefined)[] = child.stdio;
  const complaint = text(stdio[2] as Readable);
  const sync = text(stdio[SYNC] as Readable, true);
  let failure: Error | null = null;
  if (exec) {
    const start = stdio[START] as Writable;
    start.on('error', () => {}); // conmon ended: that is told by the other pipe
    start.write('1');
    const attach = await text(stdio[ATTACH] as Readable, true);
    try {
      // Without an answer it has failed, and says why below.
      if (attach !== '') exec.ready();
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
    start.end(attach !== '' ? '1' : '');
  }
  const [line] = await Promise.all([sync, ended]);
  if (line === '') await complaint;
  for (const stream of stdio) stream?.destroy();
  const pid = pidOf(line, exec ? 'exec' : 'create', await complaint);
  if (failure !== null) throw failure;
  return pid;
}

/** A process's end as conmon wrote it down; null while it runs, or when conmon did not live to see it. */
export function readExit(paths: MonitorPaths): ExitStatus | null {
  try {
    const text = readFileSync(paths.exit, 'utf8');
    if (!/^-?\d+$/.test(text)) return null; // conmon renames it into place, so that this is another's file
    return { code: Number(text), oomKilled: existsSync(paths.oom), finishedAt: statSync(paths.exit).mtime.toISOString() };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

function commandLine({ host, runtimeRoot, paths, ...options }: MonitorOptions): readonly string[] {
  const { container, tty, stdin, leaveStdinOpen, log, exec } = options;
  return [
    '--api-version=1',
    `--cid=${container}`,
    `--cuuid=${exec?.id ?? container}`,
    `--name=${container}`,
    `--runtime=${host.runtime}`,
    // The runtime's warnings go to a file, so that its standard error is the reason of a failure alone.
    ...['--root', runtimeRoot, '--log', paths.runtimeLog, '--log-format', 'json'].map((word) => `--runtime-arg=${word}`),
    `--bundle=${paths.directory}`,
    '--full-attach',
    `--container-pidfile=${paths.pid}`,
    `--conmon-pidfile=${paths.monitorPid}`,
    `--exit-dir=${paths.exitDirectory}`,
    `--log-path=${log === null ? 'none' : `k8s-file:${log.path}`}`,
    ...(log !== null && log.limit > 0 ? [`--log-size-max=${log.limit}`] : []),
    '--no-sync-log',
    ...(tty ? ['--terminal'] : []),
    ...(stdin ? ['--stdin'] : []),
    ...(stdin && leaveStdinOpen ? ['--leave-stdin-open'] : []),
    ...(exec ? ['--exec', '--exec-attach', `--exec-process-spec=${exec.spec}`] : []),
  ];
}

/** @param line resolve with the first line instead of waiting for the end */
function text(stream: Readable, line = false): Promise<string> {
  return new Promise((resolve) => {
    let all = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      all += chunk;
      if (line && all.includes('\n')) resolve(all.slice(0, all.indexOf('\n')));
    });
    stream.on('error', () => resolve(all));
    stream.on('close', () => resolve(all));
  });
}

/** Of the one JSON object that conmon sends: `data` is a pid, or negative and `message` the runtime's standard error. */
function pidOf(line: string, what: 'create' | 'exec', complaint: string): number {
  if (line === '')
    throw new MoorError(
      'internal',
      `OCI runtime ${what} failed: conmon ended: ${complaint.trim() || 'it gave no reason'}: unknown`,
    );
  const { data, message } = JSON.parse(line) as { readonly data?: unknown; readonly message?: unknown };
  if (typeof data === 'number' && data > 0) return data;
  const reason = typeof message === 'string' && message.trim() !== '' ? message.trim() : 'the runtime gave no reason';
  throw runtimeFailure(what, reason);
}

/** Docker answers "bad request" to what a user can put right, and its command line exits with 126 or 127 by these texts. */
const USERS_FAULT =
  /executable file not found|no such file or directory|permission denied|is a directory|not a directory|exec format error/i;

export function runtimeFailure(what: 'create' | 'start' | 'exec', reason: string): MoorError {
  const text = `OCI runtime ${what} failed: ${reason}: unknown`;
  const prefix = what === 'exec' ? '' : 'failed to create task for container: failed to create shim task: ';
  return new MoorError(USERS_FAULT.test(reason) ? 'invalid' : 'internal', prefix + text);
}
