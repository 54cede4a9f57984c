/** The service of containers on a fake runtime, fake roots and images, and the real engine with the fake kernel and the memory store. */
import '../support/isolated.ts';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { conflict, notFound } from '../../src/base/errors.ts';
import { type Id, isId } from '../../src/base/ids.ts';
import { createContainers, type ServiceDeps, type ServiceTimes } from '../../src/containers/service/service.ts';
import type {
  Containers,
  ContainerSpec,
  ExecRequest,
  ExitStatus,
  LogEntry,
  Runtime,
  StartRequest,
  Streams,
} from '../../src/contracts/containers.ts';
import type { Store } from '../../src/contracts/store.ts';
import type { ContainerConfig, HostConfig, Image } from '../../src/model/container.ts';
import { CONFIG, HOST_CONFIG } from '../../src/model/container.testing.ts';
import type { ProcessRef } from '../../src/model/sandbox.ts';
import * as engineSetup from '../engine/setup.ts';

export { eventually } from '../engine/setup.ts';

export const IMAGE: Image = {
  id: `sha256:${'1'.repeat(64)}`,
  tags: ['busybox:latest'],
  digests: [],
  created: '2026-01-01T00:00:00Z',
  architecture: 'amd64',
  os: 'linux',
  author: '',
  comment: '',
  size: 1,
  layers: ['sha256:a'],
  history: [],
  config: { Cmd: ['sh'], Env: ['PATH=/bin'], Labels: { from: 'image' } },
};

export interface SpecOptions {
  readonly name?: string;
  readonly config?: Partial<ContainerConfig>;
  readonly host?: Partial<HostConfig>;
  readonly networks?: ContainerSpec['networks'];
}

export const spec = ({ name, config, host, networks = [] }: SpecOptions = {}): ContainerSpec => ({
  ...(name === undefined ? {} : { name }),
  config: { ...CONFIG, ...config },
  hostConfig: { ...HOST_CONFIG, ...host },
  networks,
});

interface FakeProcess {
  readonly ref: ProcessRef;
  readonly done: Promise<ExitStatus>;
  readonly finish: (status: ExitStatus) => void;
  state: 'created' | 'running' | 'ended';
  status: ExitStatus | null;
  readonly output: PassThrough;
}

/** What outlives a daemon, as conmon and the runtime do. */
export class FakeRuntime implements Runtime {
  readonly containers = new Map<Id, FakeProcess & { readonly request: StartRequest; paused: boolean }>();
  readonly execs = new Map<Id, FakeProcess & { readonly request: ExecRequest }>();
  /** What went wrong last is thrown at each call of this step. */
  readonly failing = new Map<'create' | 'start' | 'exec', Error>();
  /** Signals that a container does not die of. */
  readonly ignored = new Set<number>();
  readonly signals: number[] = [];
  readonly updates: Partial<HostConfig>[] = [];
  readonly #processes: engineSetup.FakeProcesses;
  #pid = 1000;

  constructor(processes: engineSetup.FakeProcesses) {
    this.#processes = processes;
  }

  readonly probe = async (): ReturnType<Runtime['probe']> => ({ runtime: 'fake', version: '1', monitor: 'fake' });

  readonly create = async (request: StartRequest): Promise<ProcessRef> => {
    const failure = this.failing.get('create');
    if (failure !== undefined) throw failure;
    const process = this.#process();
    this.containers.set(request.container.id, { ...process, request, paused: false });
    return process.ref;
  };

  readonly start = async (id: Id): Promise<void> => {
    const failure = this.failing.get('start');
    if (failure !== undefined) throw failure;
    this.#get(id).state = 'running';
  };

  readonly exited = (id: Id, signal: AbortSignal): Promise<ExitStatus> => {
    const found = this.containers.get(id);
    if (found === undefined) return Promise.reject(notFound(`nothing runs as ${id}`));
    return untilAborted(found.done, signal);
  };

  readonly kill = async (id: Id, signal: number): Promise<void> => {
    const process = this.#get(id);
    if (process.state === 'ended') throw conflict(`container ${id} is not running`);
    this.signals.push(signal);
    if (!this.ignored.has(signal)) this.end(id, 128 + signal);
  };

  readonly pause = async (id: Id): Promise<void> => {
    this.#get(id).paused = true;
  };

  readonly resume = async (id: Id): Promise<void> => {
    this.#get(id).paused = false;
  };

  readonly update = async (_id: Id, limits: Partial<HostConfig>): Promise<void> => {
    this.updates.push(limits);
  };

  readonly remove = async (id: Id): Promise<void> => {
    const found = this.containers.get(id);
    if (found !== undefined && found.state !== 'ended') this.end(id, 137);
    this.containers.delete(id);
  };

  readonly attach = async (id: Id, exec?: Id): Promise<Streams> => {
    const process = exec === undefined ? this.containers.get(id) : this.execs.get(exec);
    if (process === undefined) throw notFound(`Cannot attach to ${exec ?? id}`);
    const stdout = new PassThrough();
    process.output.pipe(stdout);
    const stderr = new PassThrough();
    stderr.end();
    return { stdin: new PassThrough(), stdout, stderr, close: () => void stdout.destroy() };
  };

  readonly resize: Runtime['resize'] = async () => {};

  readonly exec = async (request: ExecRequest): Promise<ProcessRef> => {
    const failure = this.failing.get('exec');
    if (failure !== undefined) throw failure;
    const process = this.#process();
    process.state = 'running';
    this.execs.set(request.id, { ...process, request });
    this.onExec?.(request);
    return process.ref;
  };

  /** Called for each exec: a test's program. */
  onExec: ((request: ExecRequest) => void) | null = null;

  readonly execExited = (_id: Id, exec: Id, signal: AbortSignal): Promise<ExitStatus> => {
    const found = this.execs.get(exec);
    return found === undefined ? Promise.reject(notFound(`no exec ${exec}`)) : untilAborted(found.done, signal);
  };

  readonly removeExec = async (_id: Id, exec: Id): Promise<void> => void this.execs.delete(exec);
  readonly stats = async (): Promise<Readonly<Record<string, unknown>>> => ({});
  readonly processes = async (): Promise<readonly number[]> => [process.pid];
  readonly known = async (): Promise<readonly Id[]> => [...this.containers.keys()];
  readonly logPath = (id: Id): string => `/logs/${id}`;

  #process(): FakeProcess {
    const { promise, resolve } = Promise.withResolvers<ExitStatus>();
    const pid = ++this.#pid;
    return {
      ref: this.#processes.start(pid),
      done: promise,
      finish: resolve,
      state: 'created',
      status: null,
      output: new PassThrough(),
    };
  }

  #get(id: Id): FakeProcess & { paused: boolean } {
    const found = this.containers.get(id);
    if (found === undefined) throw notFound(`no container ${id} in the runtime`);
    return found;
  }

  /** The process of a container ends. */
  end(id: Id, code: number, more: Partial<ExitStatus> = {}): void {
    const found = this.containers.get(id);
    if (found !== undefined) this.#end(found, { code, oomKilled: false, finishedAt: new Date().toISOString(), ...more });
  }

  endExec(id: Id, code: number, output = ''): void {
    const found = this.execs.get(id);
    if (found === undefined) return;
    found.output.write(output);
    this.#end(found, { code, oomKilled: false, finishedAt: new Date().toISOString() });
  }

  #end(process: FakeProcess, status: ExitStatus): void {
    process.state = 'ended';
    process.status = status;
    this.#processes.end(process.ref.pid);
    process.output.end();
    process.finish(status);
  }
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(conflict('cancelled')), { once: true });
    if (signal.aborted) reject(conflict('cancelled'));
    work.then(resolve, reject);
  });
}

export class FakeRoots {
  readonly layers = new Set<Id>();
  readonly mounted = new Set<Id>();
  /** Thrown by `mount`. */
  failure: Error | null = null;
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  readonly create = async (id: Id): Promise<void> => void this.layers.add(id);
  readonly mount = async (id: Id): Promise<string> => {
    if (this.failure !== null) throw this.failure;
    this.layers.add(id);
    this.mounted.add(id);
    return join(this.#directory, 'root');
  };
  readonly unmount = async (id: Id): Promise<void> => void this.mounted.delete(id);
  readonly remove = async (id: Id): Promise<void> => {
    this.mounted.delete(id);
    this.layers.delete(id);
  };
  readonly size = async (): Promise<number> => 100;
}

export interface World extends engineSetup.World, Disposable {
  readonly runtime: FakeRuntime;
  readonly roots: FakeRoots;
  readonly directory: string;
}

export function newWorld(): World {
  const world = engineSetup.newWorld();
  const directory = mkdtempSync(join(tmpdir(), 'moor-containers-'));
  mkdirSync(join(directory, 'root'));
  return {
    ...world,
    directory,
    runtime: new FakeRuntime(world.processes),
    roots: new FakeRoots(directory),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

export interface Bench extends AsyncDisposable {
  readonly world: World;
  readonly containers: Containers;
  readonly engine: engineSetup.Bench['engine'];
  readonly events: engineSetup.Bench['events'];
  readonly logger: engineSetup.MemoryLogger;
  /** `type action` of what happened to containers and volumes. */
  readonly actions: () => string[];
}

/** Quick, so that no test waits. */
const TIMES: Partial<ServiceTimes> = { restartFirst: 1, restartLongest: 4, lostStatus: 50, kill: 500 };

export interface StartOptions {
  readonly image?: Partial<Image>;
  readonly store?: (store: Store) => Store;
  /** Puts something between the engine and the kernel or the store. */
  readonly between?: engineSetup.StartOptions['between'];
  readonly deps?: Partial<ServiceDeps>;
}

export async function start(world: World, { image, store, between, deps }: StartOptions = {}): Promise<Bench> {
  const bench = await engineSetup.start({ world, ...(between === undefined ? {} : { between }) });
  const held: Image = { ...IMAGE, ...image };
  const containers = await createContainers({
    engine: bench.engine,
    images: {
      get: (reference) => {
        if (reference === 'busybox' || reference === held.id) return held;
        throw notFound(`No such image: ${reference.includes(':') ? reference : `${reference}:latest`}`);
      },
      lower: () => ['/lower'],
    },
    runtime: world.runtime,
    rootFiles: world.roots,
    store: store?.(world.store) ?? world.store,
    processes: world.processes,
    clock: { now: () => Date.now() },
    logger: bench.logger,
    readLogs: noLogs,
    config: { dataRoot: world.directory, execRoot: world.directory, times: TIMES },
    ...deps,
  });
  return {
    world,
    containers,
    engine: bench.engine,
    events: bench.events,
    logger: bench.logger,
    actions: () =>
      bench.events.filter(({ type }) => type !== 'network' && type !== 'daemon').map(({ type, action }) => `${type} ${action}`),
    async [Symbol.asyncDispose]() {
      await containers[Symbol.asyncDispose]();
      await bench[Symbol.asyncDispose]();
    },
  };
}

async function* noLogs(): AsyncGenerator<LogEntry> {}

/** Rows of containers and volumes, and everything else that a container may leave. */
export async function leftovers({ runtime, roots, kernel, store }: World): Promise<unknown> {
  const keys = (await store.list('')).entries.map(({ key }) => key);
  // Where a network's addresses go on is its own, and stays as long as it does.
  const turns = keys.filter((key) => key.startsWith('network/')).map((key) => key.replace('network', 'turn'));
  return {
    rows: keys.filter((key) => !/^(network|journal|meta)/.test(key) && !turns.includes(key)),
    runtime: [...runtime.containers.keys()],
    layers: [...roots.layers],
    mounted: [...roots.mounted],
    spaces: [...kernel.spaces.byPath.keys()].filter((path) => path !== 'host'),
    files: [...kernel.files.keys()],
  };
}

export const NOTHING = { rows: [], runtime: [], layers: [], mounted: [], spaces: [], files: [] };

/** The one container that exists in the runtime. */
export function only({ runtime }: World): Id {
  const [id] = runtime.containers.keys();
  if (id === undefined || !isId(id)) throw new Error('nothing runs');
  return id;
}
