/**
 * Docker's door on a real socket, over the real service of containers and the real engine; runtime, roots, images and kernel are in memory.
 * For tests of everything that HTTP has to do with containers, without root.
 */
import { createServer as createHttpServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { routeUpgrade, takeSocket, wantsUpgrade } from '../../src/api/hijack.ts';
import { createServer, refuseBytes } from '../../src/api/server.ts';
import { apiVersionOf } from '../../src/api/version.ts';
import { silentLogger } from '../../src/base/clock.ts';
import { notFound } from '../../src/base/errors.ts';
import type { Id } from '../../src/base/ids.ts';
import type { Images, LogEntry, LogQuery, Streams } from '../../src/contracts/containers.ts';
import type { DockerDeps } from '../../src/docker/route.ts';
import { registerDocker } from '../../src/docker/routes.ts';
import { FakeRuntime, IMAGE, newWorld, start, type Bench, type World } from '../containers/setup.ts';
import { SYSTEM } from './api.ts';
import { type Answer, send } from './daemon.ts';

type Size = { readonly rows: number; readonly columns: number };

/** A runtime whose processes the test plays: what they get and what they say. */
export class PlayedRuntime extends FakeRuntime {
  /** Streams of each attachment, newest last, as the process sees them. */
  readonly attached: {
    readonly stdin: PassThrough;
    readonly stdout: PassThrough;
    readonly stderr: PassThrough;
    closed: boolean;
  }[] = [];
  readonly sizes: Size[] = [];

  override readonly attach = async (): Promise<Streams> => {
    const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough(), closed: false };
    this.attached.push(streams);
    this.onAttach?.();
    return { ...streams, close: () => void (streams.closed = true) };
  };

  /** Called at each attachment. */
  onAttach: (() => void) | null = null;

  override readonly resize = async (_: Id, size: Size): Promise<void> => void this.sizes.push(size);

  override readonly stats = async (): Promise<Readonly<Record<string, unknown>>> => ({
    cpu_stats: { cpu_usage: { total_usage: 5 } },
    memory_stats: { usage: 7 },
  });
}

/** An object body is sent as JSON, a string as it is. */
type CallRequest = readonly [method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>];

export interface ContainerApi extends AsyncDisposable {
  readonly bench: Bench;
  readonly runtime: PlayedRuntime;
  readonly socket: string;
  readonly images: FakeImages;
  /** What the log of every container says. */
  readonly log: LogEntry[];
  /** The last query that logs were read with. */
  readonly logQueries: LogQuery[];
  readonly written: { readonly path: string; readonly data: string }[];
  readonly call: (...request: CallRequest) => Promise<Answer>;
  /** A bare connection, for what is not HTTP any more after the head. */
  readonly open: (request: string) => Promise<RawConnection>;
  readonly stop: () => void;
}

export interface RawConnection {
  readonly socket: Socket;
  /** The head of the answer, up to the empty line. */
  readonly head: string;
  /** Everything behind the head so far. */
  readonly data: () => Buffer;
  /** Everything behind the head when the server has closed its half. */
  readonly rest: Promise<Buffer>;
}

/** Images by name in memory; what was asked is kept. */
export class FakeImages implements Images {
  readonly all = [{ ...IMAGE, layers: ['sha256:a', 'sha256:b'], layerSizes: [10, 5], size: 15 }];
  readonly asked: unknown[] = [];
  failure: Error | null = null;

  readonly list = (): Images['list'] extends () => infer T ? T : never => this.all;
  readonly get: Images['get'] = (reference) => {
    const found = this.all.find(
      ({ id, tags }) =>
        id === reference ||
        id.startsWith(`sha256:${reference}`) ||
        tags.includes(reference) ||
        tags.includes(`${reference}:latest`),
    );
    if (found === undefined) throw notFound(`No such image: ${reference.includes(':') ? reference : `${reference}:latest`}`);
    return found;
  };
  readonly load: Images['load'] = async (archive, { progress }) => {
    const text = await textOf(archive);
    this.asked.push({ load: text });
    progress({ status: 'Loading layer', id: 'abc', current: 1, total: 2 });
    if (this.failure) throw this.failure;
    return ['busybox:latest', this.all[0]?.id ?? ''];
  };
  readonly save: Images['save'] = async (references) => {
    for (const reference of references) this.get(reference);
    return Readable.from([Buffer.from(`tar of ${references.join(' ')}`)]);
  };
  readonly import: Images['import'] = async (tar, { signal: _, ...options }) => {
    this.asked.push({ import: await textOf(tar), ...options });
    return `sha256:${'2'.repeat(64)}`;
  };
  readonly pull: Images['pull'] = async (reference, { auth, platform, progress }) => {
    this.asked.push({ pull: reference, auth, platform });
    if (this.failure) throw this.failure;
    progress({ status: 'Pulling from library/busybox', id: 'latest' });
    progress({ status: 'Pulling fs layer', id: 'abc' });
    if (reference.endsWith(':broken')) throw new Error('the registry went away');
    progress({ status: 'Status: Downloaded newer image' });
    return this.get('busybox');
  };
  readonly tag: Images['tag'] = async (reference, target) => void this.asked.push({ tag: this.get(reference).id, target });
  readonly remove: Images['remove'] = async (reference, { inUse, running, ...options }) => {
    const { id } = this.get(reference);
    this.asked.push({ remove: reference, ...options, inUse: inUse(id), running: running?.(id) });
    return [{ untagged: 'busybox:latest' }, { deleted: id }, { deleted: 'sha256:a' }];
  };
  readonly prune: Images['prune'] = async ({ all, accepts }) => ({
    deleted: this.all.filter(accepts).map(({ id }) => ({ deleted: id })),
    reclaimed: all ? 100 : 1,
  });
  readonly lower = (): readonly string[] => ['/lower'];
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

export async function startContainerApi(): Promise<ContainerApi> {
  await using stack = new AsyncDisposableStack();
  const base = newWorld();
  stack.use(base);
  const runtime = new PlayedRuntime(base.processes);
  const world: World = { ...base, runtime };
  const images = new FakeImages();
  const log: LogEntry[] = [];
  const logQueries: LogQuery[] = [];
  const bench = stack.use(
    await start(world, {
      deps: {
        images,
        async *readLogs(_, query, signal) {
          logQueries.push(query);
          yield* log;
          if (query.follow && !signal.aborted) await new Promise((done) => signal.addEventListener('abort', done));
        },
      },
    }),
  );
  const written: { path: string; data: string }[] = [];
  const stat = { name: 'hosts', size: 5, mode: 420, mtime: '2026-01-01T00:00:00Z', linkTarget: '' };
  const known = (path: string): void => {
    if (path === '/nope') throw notFound(`Could not find the file ${path} in container`);
  };
  const rootFiles: DockerDeps['rootFiles'] = {
    size: async () => 100,
    stat: async (_, path) => {
      known(path);
      return stat;
    },
    read: async (_, path) => {
      known(path);
      return { stat, tar: Readable.from([Buffer.from(`tar of ${path}`)]) };
    },
    write: async (_, path, { tar }) => {
      known(path);
      written.push({ path, data: await textOf(tar) });
    },
    mount: world.roots.mount,
    export: async () => Readable.from([Buffer.from('tar of all')]),
    changes: async () => [{ Path: '/etc/new', Kind: 1 }],
  };
  const stopping = new AbortController();
  const app = createServer({ logger: silentLogger, version: SYSTEM.version });
  registerDocker(app, {
    engine: bench.engine,
    containers: bench.containers,
    images,
    rootFiles,
    processes: world.processes,
    clock: { now: () => Date.now() },
    system: () => SYSTEM,
    apiVersion: apiVersionOf,
    takeSocket,
    stopping: stopping.signal,
  });
  await app.ready();
  const server = createHttpServer({ shouldUpgradeCallback: wantsUpgrade }, (request, response) => app.routing(request, response));
  server.on('upgrade', routeUpgrade(app)).on('clientError', refuseBytes);
  const socket = join(world.directory, 's');
  await new Promise<void>((done) => server.listen(socket, done));
  stack.defer(async () => {
    stopping.abort();
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
  const owned = stack.move();
  return {
    bench,
    runtime,
    socket,
    images,
    log,
    logQueries,
    written,
    call: (...[method, path, body, headers]) => send({ socket, method, path, body, ...(headers ? { headers } : {}) }),
    open: (request) => openRaw(socket, request),
    stop: () => stopping.abort(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function openRaw(path: string, request: string): Promise<RawConnection> {
  const socket = connect({ path, allowHalfOpen: true });
  let received = Buffer.alloc(0);
  const headSeen = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.includes('\r\n\r\n')) headSeen.resolve();
  });
  socket.on('error', (error) => headSeen.reject(error));
  socket.on('end', () => {
    headSeen.resolve();
    ended.resolve();
  });
  socket.write(request);
  await headSeen.promise;
  const length = received.indexOf('\r\n\r\n') + 4;
  return {
    socket,
    head: received.subarray(0, length).toString('latin1'),
    data: () => received.subarray(length),
    rest: ended.promise.then(() => {
      socket.destroy();
      return received.subarray(length);
    }),
  };
}
