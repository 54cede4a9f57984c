/**
 * A private daemon for tests: `bin/moord` in network, mount and PID namespaces of its own, so that it sees no link, rule or
 * pin of the machine and leaves none. A holder process keeps the namespaces while the daemon is killed and started
 * again; when the holder ends, the kernel ends everything in the PID namespace, and with it the links, mounts and rules. The
 * holder dies with the test process, however that ends (PR_SET_PDEATHSIG).
 *
 *     await using daemon = await startDaemon();
 *     const out = await daemon.docker('network', 'ls');
 */
import './isolated.ts';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = resolve(import.meta.dirname, '../..');

/** How long a daemon may take until it answers `/_ping`, in milliseconds; generous, as the machine may be busy. */
const READY_MS = 60_000;

export interface RunResult {
  /** Exit code; 128 + signal number when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The body as JSON. @throws SyntaxError when it is none */
  readonly json: () => unknown;
}

export interface DaemonOptions {
  /** Further flags of moord. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Docker CLI to use: a path, default `docker`. */
  readonly dockerCli?: string;
  /** false: make the namespaces only; call `start` later. */
  readonly start?: boolean;
  /**
   * Namespace file for process 1, default the daemon's own. With the machine's first one (`/run/outer-netns`, tools/testing) the
   * daemon finds the limits that only show there, as it does beside an init of the machine: it raises them for the whole machine.
   */
  readonly initNetns?: string;
}

export interface TestDaemon extends AsyncDisposable {
  /** Private folder: `data`, `exec`, `moor.sock`, `pid`, `log`. */
  readonly directory: string;
  readonly socket: string;
  /** `unix:///…/moor.sock` */
  readonly host: string;
  /** The holder's pid as this machine sees it: `/proc/PID/ns/net` is the daemon's network namespace. */
  readonly holder: number;
  /** Starts moord in the same namespaces. Resolves when it answers. @throws with its log when it does not. */
  readonly start: (...args: readonly string[]) => Promise<void>;
  /** Sends a signal to moord (default SIGTERM) and waits for its end. @returns its exit code, 128 + n for a signal. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number>;
  /** pid of moord as this machine sees it. */
  readonly pid: () => number;
  /** Everything moord has written to stderr. */
  readonly log: () => string;
  /** Stock Docker CLI against the daemon. */
  readonly docker: (...args: readonly string[]) => Promise<RunResult>;
  /** `bin/moor` against the daemon, inside the daemon's namespaces. */
  readonly moor: (...args: readonly string[]) => Promise<RunResult>;
  /** Any command inside the daemon's namespaces. */
  readonly inside: (command: string, ...args: readonly string[]) => Promise<RunResult>;
  /** The same, running on: `await using` ends it. */
  readonly spawnInside: (command: string, ...args: readonly string[]) => ChildProcess;
  /** One HTTP request; an object body is sent as JSON. */
  readonly request: (method: string, path: string, body?: unknown) => Promise<Answer>;
}

/** Runs a command to its end; never throws for its exit code. `input` is written to its stdin. */
export async function run(
  command: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly input?: string; readonly timeoutMs?: number } = {},
): Promise<RunResult> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: options.env ?? process.env });
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 120_000);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => {}); // EPIPE when the command does not read
  child.stdin.end(options.input ?? '');
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    return { code: exitCode(code, signal), stdout, stderr };
  } finally {
    clearTimeout(timer);
  }
}

const SIGNALS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };
const exitCode = (code: number | null, signal: NodeJS.Signals | null): number =>
  code ?? 128 + (signal ? (SIGNALS[signal] ?? 0) : 0);

/** The Docker CLI for tests, or null when this machine has none: `t.skip` with the reason then. */
export function dockerCli(): string | null {
  for (const path of [
    process.env['MOOR_TEST_DOCKER'] ?? '',
    '/usr/local/bin/docker',
    '/usr/bin/docker',
    `${ROOT}/.cache/peers/usr/bin/docker`,
  ]) {
    if (path !== '' && existsSync(path)) return path;
  }
  return null;
}

interface Holder {
  /** What ends with all others in the PID namespace when it is killed. */
  readonly outer: ChildProcess;
  /** pid of process 1 of the PID namespace, as this machine sees it. */
  readonly init: number;
  /** pid of a process in all the namespaces. */
  readonly pid: number;
}

const SETTLE = [
  'ip link set lo up',
  // As `ip netns exec` does: /sys shows the network devices of the namespace in which it was mounted. Containers need the cgroups.
  'cgroups=$(mktemp -d); mount --rbind /sys/fs/cgroup $cgroups',
  'umount -l /sys 2>/dev/null; mount -t sysfs sysfs /sys',
  'mount --rbind $cgroups /sys/fs/cgroup; umount -l $cgroups; rmdir $cgroups',
  'echo ready',
  // Not exec: process 1 reaps what the daemon orphans on purpose (the monitors of containers), as an init does.
  'sleep infinity & wait',
].join('\n');

async function startHolder(initNetns: string | undefined): Promise<Holder> {
  const unshare = (net: readonly string[], script: string): readonly string[] => [
    ...['unshare', ...net, '--mount', '--pid', '--fork', '--mount-proc', '--kill-child', 'sh', '-c', script],
  ];
  const command =
    initNetns === undefined
      ? unshare(['--net'], SETTLE)
      : ['nsenter', `--net=${initNetns}`, ...unshare([], `unshare --net sh -c '${SETTLE}' & wait`)];
  const outer = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
  let complaint = '';
  outer.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  await Promise.race([once(outer.stdout, 'data'), once(outer, 'exit')]);
  if (outer.exitCode !== null) throw new Error(`cannot make namespaces (is this root?): ${complaint.trim()}`);
  const init = childOf(outer.pid ?? 0);
  return { outer, init, pid: initNetns === undefined ? init : childOf(init) };
}

/** pid of the only child of a process. */
function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
}

export async function startDaemon(options: DaemonOptions = {}): Promise<TestDaemon> {
  await using cleanup = new AsyncDisposableStack();
  // Short: the path of a UNIX socket is at most 107 bytes (unix(7)).
  const directory = mkdtempSync(`${process.env['MOOR_TEST_FOLDER'] ?? '/tmp'}/moord-`);
  cleanup.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }));
  const { outer, init, pid: holder } = await startHolder(options.initNetns);
  cleanup.defer(async () => {
    const ended = outer.exitCode === null && outer.signalCode === null ? once(outer, 'exit') : null;
    try {
      process.kill(init, 'SIGKILL');
    } catch {
      outer.kill('SIGKILL');
    }
    await ended;
  });
  const socket = `${directory}/moor.sock`;
  const host = `unix://${socket}`;
  const enter = ['-t', String(holder), '--net', '--mount', '--pid', '--'];
  const env = { ...process.env, ...options.env, MOOR_HOST: host };
  const logFile = `${directory}/log`;
  let daemon: ChildProcess | null = null;

  const spawnInside = (command: string, ...args: readonly string[]): ChildProcess =>
    spawn('nsenter', [...enter, command, ...args], { stdio: ['pipe', 'pipe', 'pipe'], env });
  const log = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '');

  const start = async (...args: readonly string[]): Promise<void> => {
    if (daemon !== null) throw new Error('the daemon runs already');
    const flags = [
      '--data-root',
      `${directory}/data`,
      '--exec-root',
      `${directory}/exec`,
      '--pidfile',
      `${directory}/pid`,
      '-H',
      host,
    ];
    const child = spawn('nsenter', [...enter, `${ROOT}/bin/moord`, ...flags, ...(options.args ?? []), ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env,
    });
    daemon = child;
    child.once('exit', () => {
      if (daemon === child) daemon = null;
    });
    child.stderr.pipe(createWriteStream(logFile, { flags: 'a' }));
    const deadline = Date.now() + READY_MS;
    for (;;) {
      if (daemon === null) {
        await sleep(50); // the pipe into the log
        throw new Error(`moord ended with ${exitCode(child.exitCode, child.signalCode)}:\n${log()}`);
      }
      if (
        await send({ socket, method: 'GET', path: '/_ping' }).then(
          (answer) => answer.status === 200,
          () => false,
        )
      )
        return;
      if (Date.now() > deadline) throw new Error(`moord does not answer after ${READY_MS} ms:\n${log()}`);
      await sleep(20);
    }
  };
  // nsenter does not exec across a PID namespace: it forks, and its child is moord.
  const pid = (): number => {
    if (daemon?.pid === undefined) throw new Error('the daemon does not run');
    return childOf(daemon.pid);
  };
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number> => {
    const child = daemon;
    if (child === null) throw new Error('the daemon does not run');
    const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    process.kill(pid(), signal);
    const [code, by] = await ended;
    daemon = null;
    return exitCode(code, by);
  };

  if (options.start !== false) await start();
  const owned = cleanup.move();
  return {
    directory,
    socket,
    host,
    holder,
    start,
    stop,
    pid,
    log,
    docker: (...args) => run(options.dockerCli ?? dockerCli() ?? 'docker', ['-H', host, ...args], { env }),
    moor: (...args) => run('nsenter', [...enter, `${ROOT}/bin/moor`, ...args], { env }),
    inside: (command, ...args) => run('nsenter', [...enter, command, ...args], { env }),
    spawnInside,
    request: (method, path, body) => send({ socket, method, path, body }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** One HTTP request over a UNIX socket. */
export function send(wanted: {
  readonly socket: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}): Promise<Answer> {
  const text = wanted.body === undefined ? null : typeof wanted.body === 'string' ? wanted.body : JSON.stringify(wanted.body);
  return new Promise((done, fail) => {
    const outgoing = httpRequest(
      {
        socketPath: wanted.socket,
        method: wanted.method,
        path: wanted.path,
        headers: {
          ...(text === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
          ...wanted.headers,
        },
        agent: false,
      },
      (incoming) => {
        let body = '';
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => (body += chunk));
        incoming.on('error', fail);
        incoming.on('end', () =>
          done({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            text: body,
            json: () => JSON.parse(body) as unknown,
          }),
        );
      },
    );
    outgoing.on('error', fail);
    outgoing.end(text ?? undefined);
  });
}
