/**
 * The name service, behind a worker thread. What is to be served is kept here as well: when the thread dies, the next one is told everything, and
 * who waits for an answer waits for that one's.
 */
import { SHARE_ENV, Worker } from 'node:worker_threads';
import type { Logger } from '../base/clock.ts';
import { errorFrom, MoorError } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { NameRecord, Resolver, ResolverClient, ResolverStatus } from '../contracts/resolver.ts';
import { openEvent, signalEvent } from '../sys/poll.ts';
import { Descriptors } from './descriptors.ts';
import { planClient } from './plan.ts';
import type { Call, FromWorker, ToWorker, WorkerOptions } from './protocol.ts';

export interface ResolverOptions {
  readonly logger: Logger;
  /** Module of the worker thread; default: worker.ts beside this file, or what the bundler made of it. */
  readonly worker?: URL;
}

/** Megabytes of the worker's heap: 10,000 endpoints with three names each take some 30. What a query leaves behind is swept from a small young one. */
const HEAP = { maxOldGenerationSizeMb: 512, maxYoungGenerationSizeMb: 4 };
/** Milliseconds that an ending process waits for the thread. */
const HALT = 1000;
/** A thread that lived for so long (milliseconds) is followed by the next one at once, */
const LIVED = 1000;
/** any other so much later. */
const RESTART_AFTER = 500;
/** Threads that may die of one call, or beside it; then its caller is told. */
const TRIES = 3;

interface Pending {
  readonly call: Call;
  tries: number;
  readonly resolve: (value: ResolverStatus | null) => void;
  readonly reject: (error: Error) => void;
}

/** @throws what keeps the thread from starting the first time */
export async function createResolver(options: ResolverOptions): Promise<Resolver> {
  const resolver = new WorkerResolver(options);
  await resolver.start();
  return resolver;
}

class WorkerResolver implements Resolver {
  readonly planClient = planClient;
  readonly #options: ResolverOptions;
  readonly #event = openEvent();
  readonly #records = new Map<Id, NameRecord>();
  readonly #clients = new Map<Id, ResolverClient>();
  readonly #pending = new Map<number, Pending>();
  readonly #ended = Promise.withResolvers<void>();
  #worker: Worker | null = null;
  #restart: NodeJS.Timeout | undefined;
  #wake: NodeJS.Immediate | undefined;
  #nextId = 1;
  #closing = false;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const ready = Promise.withResolvers<void>();
    try {
      this.#spawn(ready);
      await ready.promise;
    } catch (error) {
      this.#closing = true;
      this.#event.close();
      throw error;
    }
  }

  put(records: readonly NameRecord[]): void {
    for (const record of records) this.#records.set(record.endpoint, record);
    this.#tell({ put: records });
  }

  remove(endpoints: readonly Id[]): void {
    for (const endpoint of endpoints) this.#records.delete(endpoint);
    this.#tell({ remove: endpoints });
  }

  async serve(clients: readonly ResolverClient[]): Promise<void> {
    for (const client of clients) this.#clients.set(client.sandbox, client);
    await this.#ask({ method: 'serve', clients });
  }

  async stop(sandboxes: readonly Id[]): Promise<void> {
    for (const sandbox of sandboxes) this.#clients.delete(sandbox);
    await this.#ask({ method: 'stop', sandboxes });
  }

  async status(): Promise<ResolverStatus> {
    const status = await this.#ask({ method: 'status' });
    if (status === null) throw new MoorError('internal', 'The resolver thread answered a status without one');
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing) return this.#ended.promise;
    this.#closing = true;
    clearTimeout(this.#restart);
    if (this.#worker === null) this.#end();
    else this.#post({ end: true });
    await this.#ended.promise;
  }

  /** @param ready settled by the first start alone */
  #spawn(ready: PromiseWithResolvers<void> | null): void {
    const descriptors = new Descriptors();
    const workerData: WorkerOptions = { event: this.#event.number, descriptors: descriptors.shared };
    const worker = new Worker(this.#options.worker ?? new URL('./worker.ts', import.meta.url), {
      workerData,
      name: 'moor-dns',
      env: SHARE_ENV,
      execArgv: [],
      resourceLimits: HEAP,
    });
    this.#worker = worker;
    let lived = false;
    const started = performance.now();
    // A thread that waits in the kernel would keep `process.exit` waiting for ever.
    const halt = (): void => {
      const flag = new Int32Array(new SharedArrayBuffer(4));
      this.#post({ halt: flag });
      Atomics.wait(flag, 0, 0, HALT);
    };
    process.on('exit', halt);
    worker.on('message', (message: FromWorker) => {
      if ('ready' in message) {
        lived = true;
        ready?.resolve();
      } else this.#hear(message);
    });
    worker.on('error', (error) => {
      const text = error instanceof Error ? error.message : String(error);
      if (lived || ready === null) this.#options.logger.error({ err: error }, 'The resolver thread failed');
      ready?.reject(new MoorError('internal', `The resolver thread failed: ${text}`));
    });
    worker.on('exit', () => {
      process.off('exit', halt);
      descriptors.closeAll();
      this.#worker = null;
      if (this.#closing) return this.#end();
      if (!lived && ready !== null) return ready.reject(new MoorError('internal', 'The resolver thread has ended'));
      if (performance.now() - started >= LIVED) this.#again();
      else this.#restart = setTimeout(() => this.#again(), RESTART_AFTER);
    });
  }

  /** A new thread, and everything that the last one knew or was asked. */
  #again(): void {
    this.#spawn(null);
    this.#post({ put: [...this.#records.values()] });
    const clients = [...this.#clients.values()];
    const waiting = [...this.#pending];
    // Nobody asked for this one: what goes wrong is for the log.
    this.#ask({ method: 'serve', clients }).catch((err: unknown) => {
      if (!this.#closing)
        this.#options.logger.error({ err }, 'Some sandboxes have no name service since the resolver thread failed');
    });
    for (const [id, pending] of waiting) {
      if (pending.tries++ < TRIES) this.#post({ id, call: pending.call });
      else {
        this.#pending.delete(id);
        pending.reject(new MoorError('internal', 'The resolver thread failed again and again'));
      }
    }
  }

  #hear(message: Exclude<FromWorker, { readonly ready: true }>): void {
    if ('trouble' in message) {
      this.#options.logger.error({ err: errorFrom(message.trouble) }, 'The resolver met something unexpected');
      return;
    }
    const waiting = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if ('error' in message) waiting?.reject(errorFrom(message.error));
    else waiting?.resolve(message.value);
  }

  #ask(call: Call): Promise<ResolverStatus | null> {
    if (this.#closing) return Promise.reject(ended());
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<ResolverStatus | null>();
    this.#pending.set(id, { call, tries: 1, resolve, reject });
    this.#post({ id, call });
    return promise;
  }

  /**
   * The thread looks at what it has been told before it answers a query. So it need not be woken at once: on two cores it would take its turn
   * before the caller, who waits for nothing.
   */
  #tell(message: ToWorker): void {
    if (this.#worker === null) return;
    this.#worker.postMessage(message);
    this.#wake ??= setImmediate(() => {
      this.#wake = undefined;
      signalEvent(this.#event);
    });
  }

  #post(message: ToWorker): void {
    if (this.#worker === null) return;
    this.#worker.postMessage(message);
    signalEvent(this.#event);
  }

  #end(): void {
    for (const { reject } of this.#pending.values()) reject(ended());
    this.#pending.clear();
    clearImmediate(this.#wake);
    this.#event.close();
    this.#ended.resolve();
  }
}

const ended = (): MoorError => new MoorError('cancelled', 'The resolver has ended');
