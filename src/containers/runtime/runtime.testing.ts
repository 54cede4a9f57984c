/** A root of Debian's busybox-static, and start requests around it. */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { silentLogger } from '../../base/clock.ts';
import { type Id, newId } from '../../base/ids.ts';
import type { ExecRequest, ExitStatus, Runtime, StartRequest, Streams } from '../../contracts/containers.ts';
import type { Container, ContainerConfig, HostConfig, Image, MountPoint } from '../../model/container.ts';
import { CONFIG, HOST_CONFIG } from '../../model/container.testing.ts';
import { createRuntime } from './runtime.ts';

export interface Asked {
  readonly config?: Partial<ContainerConfig>;
  readonly host?: Partial<HostConfig>;
  readonly mounts?: readonly MountPoint[];
  readonly files?: Readonly<Record<string, string>>;
  readonly netns?: string | null;
  readonly root?: string;
  readonly shared?: StartRequest['shared'];
}

const image: Image = {
  id: `sha256:${'0'.repeat(64)}`,
  tags: [],
  digests: [],
  created: '',
  architecture: 'amd64',
  os: 'linux',
  author: '',
  comment: '',
  size: 0,
  layers: [],
  history: [],
  config: { Env: ['FROM_IMAGE=1'], Cmd: ['sh'] },
};

/** As the service completes them. */
const host: HostConfig = {
  ...HOST_CONFIG,
  NetworkMode: 'none',
  RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
  LogConfig: { Type: 'json-file', Config: {} },
};

export function startRequest(
  command: readonly string[],
  asked: Asked & { readonly root: string; readonly id?: Id },
): StartRequest {
  const id = asked.id ?? newId();
  const container: Container = {
    id,
    name: `test-${id.slice(0, 6)}`,
    created: '',
    imageId: image.id,
    config: { ...CONFIG, Cmd: command, ...asked.config },
    hostConfig: { ...host, ...asked.host },
    networks: [],
    mounts: asked.mounts ?? [],
    state: {
      status: 'created',
      process: null,
      exitCode: 0,
      error: '',
      oomKilled: false,
      startedAt: '',
      finishedAt: '',
      health: null,
    },
    restartCount: 0,
    stoppedByUser: false,
  };
  return {
    container,
    image,
    root: asked.root,
    netns: asked.netns ?? null,
    hostname: id.slice(0, 12),
    files: asked.files ?? {},
    mounts: asked.mounts ?? [],
    shared: asked.shared ?? { pid: null, ipc: null },
  };
}

/** A root file system: busybox with all its names, accounts, and the usual directories. */
export function busyboxRoot(directory: string): void {
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'root', 'home'])
    mkdirSync(join(directory, name), { recursive: true });
  chmodSync(join(directory, 'tmp'), 0o1777);
  copyFileSync('/bin/busybox', join(directory, 'bin/busybox'));
  execFileSync('chroot', [directory, '/bin/busybox', '--install', '/bin']);
  writeFileSync(join(directory, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nada:x:1000:1001::/home/ada:/bin/sh\n');
  writeFileSync(join(directory, 'etc/group'), 'root:x:0:\nada:x:1001:\nwheel:x:10:root,ada\nvideo:x:44:\n');
}

export interface Lab extends AsyncDisposable {
  readonly directory: string;
  readonly root: string;
  readonly runtime: Runtime & Disposable;
  /** Of all containers that were asked for. */
  readonly ids: readonly Id[];
  readonly request: (command: readonly string[], asked?: Asked) => StartRequest;
  /** Creates, attaches, starts, waits and removes. */
  readonly run: (command: readonly string[], asked?: Asked & { readonly input?: string }) => Promise<Outcome>;
  /** Creates and starts; removed at the end of the lab. */
  readonly start: (command: readonly string[], asked?: Asked) => Promise<StartRequest>;
  readonly exec: (request: StartRequest, command: readonly string[], asked?: Partial<ExecRequest>) => Promise<ExecRequest>;
}

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly status: ExitStatus;
}

export const never = new AbortController().signal;

export async function lab(): Promise<Lab> {
  const directory = mkdtempSync(join(tmpdir(), 'moor-runtime-'));
  const root = join(directory, 'root');
  busyboxRoot(root);
  const runtime = await createRuntime({
    dataRoot: join(directory, 'data'),
    execRoot: join(directory, 'run'),
    logger: silentLogger,
  });
  const ids: Id[] = [];
  const request: Lab['request'] = (command, asked) => {
    const made = startRequest(command, { root, ...asked });
    ids.push(made.container.id);
    return made;
  };
  return {
    directory,
    root,
    runtime,
    ids,
    request,
    async run(command, asked) {
      const asking = request(command, asked);
      const { id } = asking.container;
      try {
        await runtime.create(asking);
        const streams = await runtime.attach(id);
        const output = collect(streams);
        await runtime.start(id);
        if (streams.stdin) streams.stdin.end(asked?.input ?? '');
        const status = await runtime.exited(id, never);
        const [out, err] = await output;
        return { code: status.code, out, err, status };
      } finally {
        await runtime.remove(id);
      }
    },
    async start(command, asked) {
      const asking = request(command, asked);
      await runtime.create(asking);
      await runtime.start(asking.container.id);
      return asking;
    },
    async exec({ container }, command, asked) {
      const execRequest: ExecRequest = {
        id: newId(),
        container,
        command,
        env: [],
        user: '',
        workingDir: '',
        tty: false,
        stdin: false,
        privileged: false,
        ...asked,
      };
      await runtime.exec(execRequest);
      return execRequest;
    },
    async [Symbol.asyncDispose]() {
      for (const id of await runtime.known()) await runtime.remove(id);
      runtime[Symbol.dispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Both outputs to their ends. */
export const collect = ({ stdout, stderr }: Streams): Promise<[string, string]> => Promise.all([all(stdout), all(stderr)]);

export async function all(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** Reads until the text is there. */
export async function until(stream: Readable, text: string): Promise<string> {
  let seen = '';
  for (;;) {
    const chunk = stream.read() as Buffer | null;
    if (chunk !== null) seen += chunk.toString('utf8');
    if (seen.includes(text)) return seen;
    if (chunk === null) {
      await new Promise<void>((resolve, reject) => {
        stream.once('readable', resolve);
        stream.once('end', () => reject(new Error(`ended without ${JSON.stringify(text)}: ${JSON.stringify(seen)}`)));
      });
    }
  }
}
