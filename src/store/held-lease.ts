/**
 * A lease that this process renews. The server counts from when it got the last renewal, we from when we sent it: our time is up
 * first, so nobody here believes in a lease that another node sees gone. The clock is asked whenever somebody looks: a process that
 * was stopped knows, before anything else happens in it, that too much time has passed.
 */
import type { Logger, SteadyClock } from '../base/clock.ts';
import { MoorError } from '../base/errors.ts';
import type { Lease } from '../contracts/store.ts';
import { pause } from './pause.ts';

export interface LeaseGrant {
  readonly id: string;
  readonly ttlMs: number;
  /** When it was asked for, on the steady clock. */
  readonly askedAt: number;
}

/** How a server is told. Both are tried again there, within the time, when that is of use. */
export interface LeaseWire {
  /** @returns the time to live from now on, in milliseconds; 0: the server does not know the lease */
  readonly renew: (timeoutMs: number) => Promise<number>;
  /** Its entries go now. */
  readonly end: () => Promise<void>;
}

export interface LeaseDeps {
  /** For the log: `etcd`. */
  readonly store: string;
  readonly wire: LeaseWire;
  readonly clock: SteadyClock;
  readonly logger: Logger;
}

/** Renewed when a third of the time has passed: two renewals may fail. etcd's own client does the same. */
const RENEW_SHARE = 1 / 3;
/** How often the clock is looked at besides, for a machine that has slept: timers do not count that time. */
const LOOK_SHARE = 1 / 10;
const LOOK_MAX_MS = 60_000;
/** Between renewals that fail, in milliseconds, unless a look is due earlier. */
const RETRY_MS = 500;
/** Two steps of the clock. */
const MARGIN_MS = 20;

export class HeldLease implements Lease {
  readonly id: string;
  readonly #deps: LeaseDeps;
  readonly #ttlMs: number;
  readonly #lost = new AbortController();
  /** Ends the renewing. */
  readonly #done = new AbortController();
  /** Moment on the steady clock from which on it is not ours. */
  #until: number;
  #renewAt: number;

  constructor(grant: LeaseGrant, deps: LeaseDeps) {
    this.id = grant.id;
    this.#deps = deps;
    this.#ttlMs = grant.ttlMs;
    this.#until = grant.askedAt + grant.ttlMs - MARGIN_MS;
    this.#renewAt = grant.askedAt + grant.ttlMs * RENEW_SHARE;
    void this.#keep();
  }

  /** Looks at the clock first. A signal that was kept from an earlier look is aborted in the same turn or the next. */
  get lost(): AbortSignal {
    if (!this.#lost.signal.aborted && this.#deps.clock.elapsed() >= this.#until) {
      this.lose(new MoorError('unavailable', `lease ${this.id} ran out: it could not be renewed for ${this.#ttlMs} ms`));
    }
    return this.#lost.signal;
  }

  lose(reason: MoorError): void {
    this.#done.abort();
    if (!this.#lost.signal.aborted) this.#lost.abort(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.lost.aborted) return;
    this.lose(new MoorError('cancelled', 'the lease was closed'));
    const { store, wire, logger } = this.#deps;
    try {
      await wire.end();
    } catch (error) {
      logger.warn({ lease: this.id, reason: String(error) }, `${store}: a lease could not be ended and is left to run out`);
    }
  }

  async #keep(): Promise<void> {
    const { clock } = this.#deps;
    const { signal } = this.#done;
    while (!this.lost.aborted) {
      const now = clock.elapsed();
      const next = Math.min(this.#renewAt, this.#until, now + Math.min(this.#ttlMs * LOOK_SHARE, LOOK_MAX_MS));
      await pause(Math.max(1, next - now), signal);
      if (!this.lost.aborted && clock.elapsed() >= this.#renewAt) await this.#renew();
    }
  }

  async #renew(): Promise<void> {
    const { store, wire, clock, logger } = this.#deps;
    const sentAt = clock.elapsed();
    try {
      const ttlMs = await wire.renew(Math.max(1, (this.#until - sentAt) / 2));
      if (ttlMs > 0) {
        // An answer may come so late that it helps no more: `lost` finds out.
        this.#until = sentAt + ttlMs - MARGIN_MS;
        this.#renewAt = sentAt + ttlMs * RENEW_SHARE;
      } else {
        this.lose(new MoorError('unavailable', `lease ${this.id} is gone: it ran out or was taken away`));
      }
    } catch (error) {
      if (this.#done.signal.aborted) return;
      logger.debug({ lease: this.id, reason: String(error) }, `${store}: a lease could not be renewed yet`);
      this.#renewAt = clock.elapsed() + Math.min(RETRY_MS, this.#ttlMs * LOOK_SHARE);
    }
  }
}
