/** The real kernel, behind a worker thread: the caller's thread never waits in a system call. */
import { SHARE_ENV, Worker } from 'node:worker_threads';
import type { Logger } from '../base/clock.ts';
import { MoorError, errorFrom } from '../base/errors.ts';
import { type Change, HOST } from '../contracts/change.ts';
import type { HostPortRefusal, HostPorts, PortHolder } from '../contracts/host-ports.ts';
import type { Applied, Feature, HostFacts, Kernel, KernelEvent, NetnsState } from '../contracts/kernel.ts';
import type { Instance } from '../model/instance.ts';
import type { NftTable, NftTableRef, NftTableState } from '../nft/types.ts';
import { keepOff, letGo, wakeElsewhere } from '../sys/cpus.ts';
import { pack, type PackedResults, unpackResults } from './pack.ts';
import type { Call, FromWorker, ToWorker, WorkerOptions } from './protocol.ts';
import { AWAKE, CPU, makeShared, SENT, WAITING } from './shared.ts';
import { wholeOf } from './whole.ts';

export interface KernelOptions {
  /** Its folders stay when they are empty. */
  readonly instance: Instance;
  /** Our table (family inet): not foreign in the facts. */
  readonly tableName: string;
  readonly logger: Logger;
  /** Module of the worker thread; default: worker.ts beside this file, or what the bundler made of it. */
  readonly worker?: URL;
  /**
   * Tables that sandboxes will have, to be made out beforehand: later, descriptors for that may be short. Changes with these very objects travel
   * without what they say.
   */
  readonly innerTables?: readonly NftTable[];
  /** Numbers of the threads that have something to do while a list is applied: they do it on other CPUs. Asked again when one is gone. */
  readonly beside?: () => readonly number[];
  /** Use the `nft` program although libnftables is there: for tests. */
  readonly forceNftProgram?: boolean;
}

/** Megabytes of the worker's heap. It holds no state that grows; a listing of 10,000 elements takes some ten for a moment. */
const HEAP = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 4 };

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Milliseconds that an ending process waits for the thread, which may be in the middle of something. */
const HALT = 1000;

/** @throws what keeps the kernel thread from starting */
export async function createKernel(options: KernelOptions): Promise<Kernel> {
  const { instance, tableName, logger, innerTables = [] } = options;
  const shared = makeShared();
  const workerData: WorkerOptions = {
    table: { family: 'inet', name: tableName },
    roots: [instance.dataRoot, instance.execRoot],
    forceNftProgram: options.forceNftProgram ?? false,
    innerTables,
    shared,
  };
  const worker = new Worker(options.worker ?? new URL('./worker.ts', import.meta.url), {
    workerData,
    name: 'moor-kernel',
    env: SHARE_ENV,
    execArgv: [],
    resourceLimits: HEAP,
  });
  const ended = Promise.withResolvers<void>();
  const ready = Promise.withResolvers<number>();
  const pending = new Map<number, Pending>();
  const listeners = new Set<(event: KernelEvent) => void>();
  let nextId = 1;
  let broken: MoorError | null = null;

  /** Threads that may not work where the kernel thread does. */
  let apart: readonly number[] = [];
  let beside: readonly number[] | null = null;
  /** Those that work while a list is applied are kept off the thread's CPU. */
  const part = (): void => {
    if (Atomics.load(shared, AWAKE) === 0 || apart.length > 0) return;
    beside ??= options.beside?.() ?? [];
    apart = beside;
    // One that is gone has a successor with another number.
    if (!keepOff(apart, Atomics.load(shared, CPU))) beside = null;
  };
  const rejoin = (): void => {
    if (apart.length > 0) letGo(apart);
    apart = [];
  };

  const breakOff = (error: MoorError): void => {
    broken ??= error;
    ready.reject(error);
    rejoin();
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  };
  const post = (message: ToWorker): void => {
    Atomics.add(shared, WAITING, 1);
    worker.postMessage(message);
    Atomics.add(shared, SENT, 1);
    Atomics.notify(shared, WAITING);
  };
  // A thread that still listens for notifications when its process ends (`process.exit`, an error that nobody caught) would abort it:
  // see `watchReadable`.
  const halt = (): void => {
    const flag = new Int32Array(new SharedArrayBuffer(4));
    post({ halt: flag });
    Atomics.wait(flag, 0, 0, HALT);
  };
  worker.on('error', (error) => {
    logger.error({ err: error }, 'The kernel thread failed');
    breakOff(new MoorError('internal', `The kernel thread failed: ${error instanceof Error ? error.message : String(error)}`));
  });
  process.on('exit', halt);
  worker.on('exit', () => {
    process.off('exit', halt);
    breakOff(new MoorError('cancelled', 'The kernel thread has ended'));
    ended.resolve();
  });
  worker.on('message', (message: FromWorker) => {
    if ('ready' in message) ready.resolve(message.ready);
    else if ('event' in message) for (const listener of listeners) listener(message.event);
    else {
      const waiting = pending.get(message.id);
      pending.delete(message.id);
      rejoin();
      if ('error' in message) waiting?.reject(errorFrom(message.error));
      else waiting?.resolve(message.value);
    }
  });
  const thread = await ready.promise;

  const ask = async <T>(call: Call): Promise<T> => {
    if (broken !== null) throw broken;
    const id = nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    pending.set(id, { resolve, reject });
    if (call.method === 'apply') part();
    post({ id, call });
    // The worker is ours: what it answers to a call has the type that the contract says.
    return (await promise) as T;
  };

  return {
    async apply(changes, { keepGoing = false } = {}): Promise<readonly Applied[]> {
      if (changes.length === 0) return [];
      const call = (list: readonly Change[]) => ({ method: 'apply', changes: pack(list, innerTables), keepGoing }) as const;
      const whole = wholeOf(changes);
      if (whole !== null) {
        const done = await ask<PackedResults | null>({ ...call(whole.rest), whole: whole.text });
        // Refused: each change by itself then, so that the guilty one is told.
        if (done !== null) return whole.results(unpackResults(done));
      }
      return unpackResults(await ask<PackedResults>(call(changes)));
    },
    expect(netns) {
      if (broken !== null) return;
      // It sleeps.
      if (pending.size === 0 && Atomics.load(shared, AWAKE) === 0) wakeElsewhere(thread);
      post({ expect: netns });
    },
    snapshot: (netns, parts) => ask<readonly (NetnsState | null)[]>({ method: 'snapshot', netns, parts }),
    listTable: (table, netns = HOST) => ask<NftTableState | null>({ method: 'listTable', table, netns }),
    tableNames: () => ask<readonly NftTableRef[]>({ method: 'tableNames' }),
    facts: () => ask<HostFacts>({ method: 'facts' }),
    features: () => ask<readonly Feature[]>({ method: 'features' }),
    hostPorts: {
      hold: (ports) => ask<HostPortRefusal | null>({ method: 'holdPorts', ports }),
      release: async (ports) => void (await ask<null>({ method: 'releasePorts', ports })),
      holder: (refusal) => ask<PortHolder | null>({ method: 'portHolder', refusal }),
      automatic: () => ask<Awaited<ReturnType<HostPorts['automatic']>>>({ method: 'automaticPorts' }),
    },
    pins: (directory) => ask<readonly string[]>({ method: 'pins', directory }),
    async watch(listener) {
      // One wrapper a call, so that the same function may watch twice.
      const entry = (event: KernelEvent): void => listener(event);
      listeners.add(entry);
      await ask<null>({ method: 'watch' });
      return async () => {
        if (listeners.delete(entry) && listeners.size === 0 && broken === null) await ask<null>({ method: 'unwatch' });
      };
    },
    observe: async (netns) => void (await ask<null>({ method: 'observe', netns })),
    forget: async (netns) => void (await ask<null>({ method: 'forget', netns })),
    async [Symbol.asyncDispose]() {
      listeners.clear();
      if (broken === null) post({ stop: true });
      await ended.promise;
    },
  };
}
