/** The calls of a store on servers, so that closing it lets them end, and ends them. */
import { MoorError } from '../base/errors.ts';
import { settled } from './pause.ts';

/** Milliseconds for calls that are on their way when a store is closed: a server that is there answers sooner, one that is away does not answer. */
const GRACE_MS = 1_000;
const NEVER = new AbortController().signal;

export const closedError = (): MoorError => new MoorError('unavailable', 'the store is closed');

export class Running {
  /** Calls on their way, and what makes them fail for their callers. */
  readonly #calls = new Map<Promise<void>, (error: MoorError) => void>();
  readonly #closing = new AbortController();
  #closed: Promise<void> | null = null;

  /** Aborts when closing begins: for what goes on by itself, as watches do. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** @throws unavailable when the store is closed, or is closed before there is an answer */
  run<T>(body: () => Promise<T>): Promise<T> {
    if (this.closing.aborted) return Promise.reject(closedError());
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const counted = (async () => body())()
      .then(resolve, reject)
      .finally(() => this.#calls.delete(counted));
    this.#calls.set(counted, reject);
    return promise;
  }

  /** @param last what ends everything else. Calls that took too long are not waited for. */
  close(last: () => void): Promise<void> {
    this.#closed ??= (async () => {
      this.#closing.abort(closedError());
      await settled(Promise.all(this.#calls.keys()), GRACE_MS, NEVER);
      for (const fail of this.#calls.values()) fail(closedError());
      last();
    })();
    return this.#closed;
  }
}
