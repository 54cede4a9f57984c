/**
 * Docker Engine as a contestant: Debian's dockerd and containerd in a network and a mount namespace of their own. Its PID namespace is
 * that of the whole run, so everything it starts ends with the run.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Attacher, dockerApi, type Publisher, stackName } from './contestant.ts';
import { Client } from './http.ts';
import { collect, PEER_ENV, PROGRAMS, ROOT } from './peers.ts';
import { processesNamed } from './processes.ts';
import { inBatches, numbers } from './rounds.ts';

export interface Docker extends Attacher, Publisher, AsyncDisposable {
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

/** @param flags further ones of dockerd */
export async function startDocker(directory: string, cgroup: string, flags: readonly string[] = []): Promise<Docker> {
  mkdirSync(directory, { recursive: true });
  // Ends with its input.
  const holder = spawn('unshare', ['--net', '--mount', `${ROOT}/tools/testing/isolate.sh`, 'sh', '-c', 'echo $$; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(holder.stdout, 'data')) as [Buffer];
  const inside = Number(line.toString());
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
      ...['--storage-driver', 'overlay2', '--log-level', 'error', ...flags],
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

  let imported: Promise<unknown> | undefined;
  const run = async (
    name: string,
    bindings: Readonly<Record<string, unknown>> = {},
  ): Promise<{ readonly pid: number; readonly address: string }> => {
    await (imported ??= client.call('POST', `/images/create?fromSrc=-&repo=${IMAGE}`, imageOfSleep()));
    await client.call('POST', `/containers/create?name=${name}`, {
      Image: IMAGE,
      Cmd: ['/bin/sleep', 'infinity'],
      // Docker publishes none that is not exposed.
      ExposedPorts: Object.fromEntries(Object.keys(bindings).map((port) => [port, {}])),
      HostConfig: { NetworkMode: 'bridge', Init: false, PortBindings: bindings },
    });
    await client.call('POST', `/containers/${name}/start`);
    const { State, NetworkSettings } = (await client.call('GET', `/containers/${name}/json`)).json() as {
      readonly State: { readonly Pid: number };
      readonly NetworkSettings: { readonly IPAddress: string };
    };
    return { pid: State.Pid, address: NetworkSettings.IPAddress };
  };
  const pidsOf = new Map<number, number>();
  const stacks = async (n: number): Promise<void> => {
    await inBatches(
      numbers(1, n).filter((k) => !pidsOf.has(k)),
      WIDTH,
      async (k) => void pidsOf.set(k, (await run(stackName(k))).pid),
    );
  };
  const enterPid = (pid: number | undefined): readonly string[] => ['nsenter', '-t', String(pid), '--net', '--'];
  return {
    ...dockerApi(client),
    client,
    host,
    stacks,
    enter: async (k) => enterPid(pidsOf.get(k)),
    holder: inside,
    async publish(name, { ports }) {
      const bindings = ports.map((port): [string, unknown] => {
        const [HostPort, inside] = port.split(':');
        return [`${inside}/tcp`, [{ HostPort }]];
      });
      const { pid, address } = await run(name, Object.fromEntries(bindings));
      return { enter: enterPid(pid), address };
    },
    pids: () => [daemon?.pid ?? 0, containerd.pid ?? 0],
    shims: () => processesNamed('containerd-shim'),
    start: startDaemon,
    stop,
    async [Symbol.asyncDispose]() {
      const all = (await client.call('GET', '/containers/json')).json() as readonly { readonly Id: string }[];
      await inBatches(all, WIDTH, ({ Id }) => client.call('DELETE', `/containers/${Id}?force=1`));
      client[Symbol.dispose]();
      await stop();
      const ended = [containerd, holder].map((child) => once(child, 'exit'));
      containerd.kill('SIGTERM');
      holder.stdin.end();
      await Promise.all(ended);
    },
  };
}

/** A container only has to be there: one program of this machine and what it is linked with, as a tar archive. */
function imageOfSleep(): Buffer {
  const program = '/bin/sleep';
  const libraries = execFileSync('ldd', [program], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  const files = [program, ...libraries].map((file) => file.slice(1));
  return execFileSync('tar', ['-C', '/', '-c', '--dereference', ...files], { maxBuffer: 1 << 26 });
}
