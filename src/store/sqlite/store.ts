/**
 * The store of one host: SQLite in a worker thread. What arrives while a transaction runs goes into the next one
 * together (group commit), so the cost of a sync is shared by all that wait for it.
 */
import { Worker } from 'node:worker_threads';
import { errorFrom, MoorError } from '../../base/errors.ts';
import type { Entry, Lease, Listing, Revision, Store, StoreEvent, Write } from '../../contracts/store.ts';
import { Feed, HISTORY_CHANGES } from '../feed.ts';
import { Leases } from '../leases.ts';
import { checkKey, checkPrefix, checkWrites } from '../writes.ts';
import type { FromWorker, Reply, Request, ToWorker, WorkerInput, WriteData } from './protocol.ts';

export interface SqliteStoreOptions {
  /** Made with its folder when missing. `FILE-wal` lies beside it. */
  readonly file: string;
  /** The worker's script; a bundle has its own. */
  readonly worker?: URL;
  /** Changes kept for `watch`. */
  readonly history?: number;
}

/** Megabytes. The database's pages are not in the JavaScript heap; this is room for a listing of tens of thousands of entries. */
const WORKER_HEAP = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 128 } as const;

/**
 * @throws conflict when another process holds the file, saying which; unavailable when the file is damaged; unsupported when
 * it is of another program or a later version.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const worker = new Worker(options.worker ?? new URL('./worker.ts', import.meta.url), {
    name: 'store',
    workerData: { file: options.file } satisfies WorkerInput,
    resourceLimits: WORKER_HEAP,
  });
  // Listened for from the start: a worker that ends at once emits its message and its exit in one go.
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const message = await firstMessage(worker);
  if (message.type === 'failed') {
    await exited;
    throw errorFrom(message.error);
  }
  if (message.type !== 'opened') throw new MoorError('internal', `the store's thread began with ${message.type}`);
  return new SqliteStore({ worker, exited, revision: message.revision, history: options.history ?? HISTORY_CHANGES });
}

function firstMessage(worker: Worker): Promise<FromWorker> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new MoorError('internal', "the store's thread ended without a word")));
  });
}

interface Running {
  readonly worker: Worker;
  readonly exited: Promise<void>;
  readonly revision: Revision;
  readonly history: number;
}

interface Pending {
  readonly request: Request;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: MoorError) => void;
}

class SqliteStore implements Store {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #feed: Feed;
  readonly #leases = new Leases((id) => this.#dropLease(id));
  #queue: Pending[] = [];
  /** In the worker's hands; empty: it is idle. */
  #running: readonly Pending[] = [];
  /** Why nothing more is taken. */
  #ended: MoorError | null = null;
  #closing: Promise<void> | null = null;
  #flushing = false;
  #idle: () => void = () => {};

  constructor({ worker, exited, revision, history }: Running) {
    this.#worker = worker;
    this.#exited = exited;
    this.#feed = new Feed(revision, history);
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'replies') this.#settle(message.replies);
    });
    worker.on('error', (error) =>
      this.#fail(new MoorError('internal', `the store's thread failed: ${String(error)}`, { cause: error })),
    );
    void exited.then(() => this.#fail(new MoorError('unavailable', "the store's thread has ended")));
  }

  readonly get = async (key: string): Promise<Entry | null> => {
    checkKey(key);
    const reply = await this.#ask({ type: 'get', key });
    return reply.type === 'entry' ? reply.entry : unexpected(reply);
  };

  readonly list = async (prefix: string): Promise<Listing> => {
    checkPrefix(prefix);
    const reply = await this.#ask({ type: 'list', prefix });
    return reply.type === 'listing' ? reply.listing : unexpected(reply);
  };

  readonly commit = async (writes: readonly Write[]): Promise<Revision> => {
    checkWrites(writes);
    this.#leases.check(writes);
    const reply = await this.#ask({ type: 'commit', writes: writes.map(writeData) });
    return reply.type === 'committed' ? reply.revision : unexpected(reply);
  };

  readonly watch = (prefix: string, from: Revision, signal: AbortSignal): AsyncIterable<readonly StoreEvent[]> => {
    checkPrefix(prefix);
    return this.#feed.watch(prefix, from, signal);
  };

  readonly lease = async (ttlMs: number): Promise<Lease> => {
    if (this.#ended) throw this.#ended;
    return this.#leases.grant(ttlMs);
  };

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #ask(request: Request): Promise<Reply> {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, resolve, reject });
      this.#flush();
    });
  }

  /** In a microtask: callers that were woken together ask again together. */
  #flush(): void {
    if (this.#flushing || this.#running.length > 0) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#next();
    });
  }

  #next(): void {
    if (this.#running.length > 0 || this.#queue.length === 0) return;
    this.#running = this.#queue;
    this.#queue = [];
    this.#post({ type: 'run', requests: this.#running.map(({ request }) => request) });
  }

  #settle(replies: readonly Reply[]): void {
    const settled = this.#running;
    this.#running = [];
    this.#next();
    for (const [index, { request, resolve, reject }] of settled.entries()) {
      const reply = replies[index];
      if (!reply) reject(new MoorError('internal', "the store's thread left a request without reply"));
      else if (reply.type === 'error') reject(errorFrom(reply.error));
      else {
        this.#publish(request, reply);
        resolve(reply);
      }
    }
    if (this.#running.length === 0) this.#idle();
  }

  /** Tells the watchers, in the order of revisions. */
  #publish(request: Request, reply: Reply): void {
    const events = eventsOf(request, reply);
    const revision = events[0]?.revision;
    if (revision !== undefined) this.#feed.append(revision, events);
  }

  async #dropLease(id: string): Promise<void> {
    // A store that is closed, or closing, leaves it to the next open.
    if (!this.#ended) await this.#ask({ type: 'drop', lease: id });
  }

  /** What was asked before is still done. */
  async #close(): Promise<void> {
    if (!this.#ended) {
      this.#ended = new MoorError('unavailable', 'the store is closed');
      this.#next();
      if (this.#running.length > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
      this.#post({ type: 'close' });
      await this.#exited;
    }
    this.#leases.close();
    this.#feed.close();
  }

  #fail(error: MoorError): void {
    this.#ended ??= error;
    const lost = [...this.#running, ...this.#queue];
    this.#running = [];
    this.#queue = [];
    for (const { reject } of lost) reject(error);
    this.#idle();
    this.#leases.close();
    this.#feed.close();
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}

function writeData(write: Write): WriteData {
  if (write.type === 'delete') return write;
  const { type, key, value, expect, lease } = write;
  return { type, key, value, ...(expect === undefined ? {} : { expect }), lease: lease?.id ?? null };
}

function eventsOf(request: Request, reply: Reply): readonly StoreEvent[] {
  if (request.type === 'commit' && reply.type === 'committed') {
    const absent = new Set(reply.absent);
    return request.writes
      .filter((_, index) => !absent.has(index))
      .map((write) => ({ key: write.key, value: write.type === 'put' ? write.value : null, revision: reply.revision }));
  }
  if (reply.type === 'dropped') return reply.keys.map((key) => ({ key, value: null, revision: reply.revision }));
  return [];
}

function unexpected(reply: Reply): never {
  throw new MoorError('internal', `the store's thread answered with ${reply.type}`);
}
