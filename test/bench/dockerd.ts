/**
 * Docker Engine as a contestant: Debian's dockerd and containerd in a network and a mount namespace of their own. Its PID namespace is
 * that of the whole run, so everything it starts ends with the run.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Attacher, dockerApi, stackName } from './contestant.ts';
import { Client } from './http.ts';
import { collect, PEER_ENV, PROGRAMS, ROOT } from './peers.ts';
import { processesNamed } from './processes.ts';
import { inBatches, numbers } from './rounds.ts';

export interface Docker extends Attacher {
  readonly client: Client;
  /** `unix:///…` */
  readonly host: string;
  /** dockerd and containerd. */
  readonly pids: () => readonly number[];
  /** The monitors, one a container. */
  readonly shims: () => readonly number[];
  readonly start: () => Promise<void>;
  /** Ends dockerd alone; containers run on (`--live-restore`). */
  readonly stop: () => Promise<void>;
}

const READY_MS = 60_000;
/** As in test/support/daemon.ts, so that both daemons' start is seen with the same grain. */
const POLL_MS = 20;
const IMAGE = 'bench';
/** Containers started at a time. */
const WIDTH = 2;

export async function startDocker(directory: string, cgroup: string): Promise<Docker> {
  mkdirSync(directory, { recursive: true });
  const holder = spawn(
    'unshare',
    ['--net', '--mount', `${ROOT}/tools/testing/isolate.sh`, 'sh', '-c', 'echo ready; exec sleep infinity'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(holder.stdout, 'data');
  const enter = ['nsenter', '-t', String(holder.pid), '--net', '--mount', '--'];
  const [command = '', ...prefix] = enter;
  const start = (...line: readonly string[]): ChildProcess =>
    spawn(command, [...prefix, ...line], { env: PEER_ENV, stdio: ['ignore', 'pipe', 'pipe'] });

  // What dockerd writes when it starts containerd itself: no Kubernetes plugin, which would cost it memory here.
  writeFileSync(`${directory}/containerd.toml`, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
  writeFileSync(`${directory}/daemon.json`, '{}\n');
  const containerdSocket = `${directory}/containerd.sock`;
  const containerd = start(
    PROGRAMS.containerd,
    ...['--config', `${directory}/containerd.toml`, '--address', containerdSocket],
    ...['--root', `${directory}/containerd`, '--state', '/run/containerd', '--log-level', 'error'],
  );
  collect(containerd);

  const socket = `${directory}/docker.sock`;
  const host = `unix://${socket}`;
  const client = new Client(socket);
  let daemon: ChildProcess | null = null;
  const startDaemon = async (): Promise<void> => {
    const child = start(
      PROGRAMS.dockerd,
      ...['--host', host, '--containerd', containerdSocket, '--data-root', `${directory}/data`, '--exec-root', '/run/docker'],
      ...[
        '--pidfile',
        '/run/docker.pid',
        '--config-file',
        `${directory}/daemon.json`,
        '--cgroup-parent',
        cgroup,
        '--live-restore',
      ],
      ...['--storage-driver', 'overlay2', '--log-level', 'error'],
    );
    daemon = child;
    const log = collect(child);
    const deadline = Date.now() + READY_MS;
    for (;;) {
      using probe = new Client(socket);
      const ready = await probe.call('GET', '/_ping').then(
        () => true,
        () => false,
      );
      if (ready) return;
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`dockerd does not start:\n${log()}`);
      await sleep(POLL_MS);
    }
  };
  const stop = async (): Promise<void> => {
    const ended = daemon === null ? null : once(daemon, 'exit');
    daemon?.kill('SIGTERM');
    await ended;
  };
  await startDaemon();

  const pidsOf = new Map<number, number>();
  const run = async (k: number): Promise<void> => {
    const name = stackName(k);
    await client.call('POST', `/containers/create?name=${name}`, {
      Image: IMAGE,
      Cmd: ['/bin/sleep', 'infinity'],
      HostConfig: { NetworkMode: 'bridge', Init: false },
    });
    await client.call('POST', `/containers/${name}/start`);
    const { State } = (await client.call('GET', `/containers/${name}/json`)).json() as { State: { Pid: number } };
    pidsOf.set(k, State.Pid);
  };
  let imported = false;
  const stacks = async (n: number): Promise<void> => {
    if (!imported) await client.call('POST', `/images/create?fromSrc=-&repo=${IMAGE}`, imageOfSleep());
    imported = true;
    await inBatches(
      numbers(1, n).filter((k) => !pidsOf.has(k)),
      WIDTH,
      run,
    );
  };
  return {
    ...dockerApi(client),
    client,
    host,
    stacks,
    enter: async (k) => ['nsenter', '-t', String(pidsOf.get(k)), '--net', '--'],
    pids: () => [daemon?.pid ?? 0, containerd.pid ?? 0],
    shims: () => processesNamed('containerd-shim'),
    start: startDaemon,
    stop,
  };
}

/** A container only has to be there: one program of this machine and what it is linked with, as a tar archive. */
function imageOfSleep(): Buffer {
  const program = '/bin/sleep';
  const libraries = execFileSync('ldd', [program], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  const files = [program, ...libraries].map((file) => file.slice(1));
  return execFileSync('tar', ['-C', '/', '-c', '--dereference', ...files], { maxBuffer: 1 << 26 });
}
