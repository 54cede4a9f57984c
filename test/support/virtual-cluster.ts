/**
 * Several nodes on one store in one process, in virtual time. Each node has a line to the store of its own, which can be cut; leases run
 * out when their holder has been cut off, or is dead, for their time to live, as on a server.
 */
import { MoorError } from '../../src/base/errors.ts';
import type { Lease, Store } from '../../src/contracts/store.ts';
import type { Sleep } from '../../src/cluster/time.ts';

interface Timer {
  readonly at: number;
  readonly fire: () => void;
}

export class VirtualTime {
  #now = Date.UTC(2026, 0, 1);
  readonly #timers = new Set<Timer>();

  readonly now = (): number => this.#now;

  readonly sleep: Sleep = (ms, signal) => {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#timers.delete(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = { at: this.#now + ms, fire: done };
      this.#timers.add(timer);
      signal.addEventListener('abort', done, { once: true });
    });
  };

  /** Everything that can go on without time passing has gone on. */
  async idle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.idle();
    for (;;) {
      const next = [...this.#timers].reduce<Timer | null>((first, one) => (first && first.at <= one.at ? first : one), null);
      if (!next || next.at > end) break;
      this.#now = Math.max(this.#now, next.at);
      next.fire();
      await this.idle();
    }
    this.#now = end;
  }
}

/** A lease of a line: ours to renew as long as the line is up. */
interface Held {
  readonly inner: Lease;
  readonly ttlMs: number;
  readonly lost: AbortController;
  renewed: number;
}

/** One process's way to the store. */
export class Line {
  readonly store: Store;
  /** Calls that it has made, by name; and what its watches have brought. */
  readonly calls = { get: 0, list: 0, commit: 0, lease: 0, messages: 0, events: 0 };
  readonly #inner: Store;
  readonly #time: VirtualTime;
  readonly #leases = new Set<Held>();
  readonly #dead = new AbortController();
  #up = true;
  #wake = Promise.withResolvers<void>();

  constructor(inner: Store, time: VirtualTime) {
    this.#inner = inner;
    this.#time = time;
    this.store = {
      get: (key) => this.#call('get', () => inner.get(key)),
      list: (prefix) => this.#call('list', () => inner.list(prefix)),
      commit: (writes) => this.#call('commit', () => inner.commit(writes.map((write) => this.#withInner(write)))),
      watch: (prefix, from, signal) => this.#watch(prefix, from, signal),
      lease: (ttlMs) => this.#call('lease', () => this.#grant(ttlMs)),
      [Symbol.asyncDispose]: async () => {},
    };
    void this.#keep();
  }

  cut(): void {
    this.#up = false;
  }

  mend(): void {
    this.#up = true;
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /** The process is gone: nobody renews its leases. */
  kill(): void {
    this.cut();
    this.#dead.abort();
    for (const lease of this.#leases) void this.#runOut(lease);
  }

  async #call<T>(name: 'get' | 'list' | 'commit' | 'lease', body: () => Promise<T>): Promise<T> {
    this.calls[name]++;
    if (!this.#up) throw new MoorError('unavailable', 'the line is cut');
    return await body();
  }

  #withInner<W extends { readonly type: string; readonly lease?: Lease }>(write: W): W {
    if (!write.lease) return write;
    for (const { inner, lost } of this.#leases)
      if (inner.id === write.lease.id && !lost.signal.aborted) return { ...write, lease: inner };
    throw new MoorError('unavailable', 'its lease is lost');
  }

  async #grant(ttlMs: number): Promise<Lease> {
    const inner = await this.#inner.lease(ttlMs);
    const held: Held = { inner, ttlMs, lost: new AbortController(), renewed: this.#time.now() };
    this.#leases.add(held);
    inner.lost.addEventListener('abort', () => {
      this.#leases.delete(held);
      held.lost.abort();
    });
    return { id: inner.id, lost: held.lost.signal, [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose]() };
  }

  /** Renewal, once a second. */
  async #keep(): Promise<void> {
    const { signal } = this.#dead;
    while (!signal.aborted) {
      await this.#time.sleep(1_000, signal);
      const now = this.#time.now();
      for (const lease of this.#leases) {
        if (this.#up) lease.renewed = now;
        else if (now - lease.renewed >= lease.ttlMs) {
          lease.lost.abort();
          this.#leases.delete(lease);
          await lease.inner[Symbol.asyncDispose]();
        }
      }
    }
  }

  async #runOut(lease: Held): Promise<void> {
    await this.#time.sleep(lease.renewed + lease.ttlMs - this.#time.now(), new AbortController().signal);
    await lease.inner[Symbol.asyncDispose]();
  }

  async *#watch(
    ...[prefix, from, signal]: Parameters<Store['watch']>
  ): ReturnType<Store['watch']> extends AsyncIterable<infer E> ? AsyncGenerator<E> : never {
    for await (const events of this.#inner.watch(prefix, from, AbortSignal.any([signal, this.#dead.signal]))) {
      // Nothing comes through, and nothing is lost.
      while (!this.#up && !signal.aborted) await this.#wake.promise;
      if (signal.aborted) return;
      this.calls.messages++;
      this.calls.events += events.length;
      yield events;
    }
  }
}
