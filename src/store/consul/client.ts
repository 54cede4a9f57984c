/** Calls to Consul's servers: bounded in time, tried again where that is safe, at one server until it is of no use. */
import type { Logger, SteadyClock } from '../../base/clock.ts';
import { type Endpoint, endpointName } from '../address.ts';
import { pause } from '../pause.ts';
import { isPassing, isUndone, StatusError, storeFault } from './faults.ts';
import { type Http, type HttpAnswer, type HttpCall, HttpError } from './http.ts';

export interface ClientOptions {
  readonly http: Http;
  readonly endpoints: readonly Endpoint[];
  readonly clock: SteadyClock;
  readonly logger: Logger;
  /** Milliseconds for a call with all its tries. */
  readonly timeoutMs: number;
  /** 0 to 1. */
  readonly random: () => number;
}

export interface CallOptions {
  /** What the call does, in words: `read network/a`. */
  readonly action: string;
  /** Done twice it is as done once. Otherwise it is tried again only when nothing was done. */
  readonly repeatable: boolean;
  /** Statuses besides 200 that are answers. */
  readonly also?: readonly number[];
  /** Less time than usual, in milliseconds. */
  readonly timeoutMs?: number;
}

/** Before another try: doubled each time, and up to twice that by chance, as all nodes see an election at the same time. */
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 400;
/** A try that has less time than this is not worth it. */
const TRY_MIN_MS = 200;
/** Share of the time that one try gets when the call may be tried again elsewhere. */
const TRY_SHARE = 0.4;
/** How often a server at which a query blocks is asked for a sign of life, and its time for that, in milliseconds. */
const PROBE_EVERY_MS = 2_000;
const PROBE_MS = 1_500;
/** Consul answers a query that waits after its time and up to a sixteenth of it; this is for the way, and for a large answer. */
const BLOCKING_EXTRA_MS = 5_000;

const PROBE: HttpCall = { method: 'GET', path: '/v1/status/leader' };
/** A call on its way has no signal: it ends by itself, in time. */
const NEVER = new AbortController().signal;

export class Client {
  readonly #options: ClientOptions;
  /** The server in use. */
  #current: number;
  #failing = false;
  /** Queries that block at the server in use. */
  readonly #blocking = new Set<AbortController>();
  #probing = false;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#current = Math.floor(options.random() * options.endpoints.length) % options.endpoints.length;
  }

  /**
   * @throws MoorError unavailable (no server, or none with a leader), timeout, forbidden, invalid. After `timeout` and `unavailable` what
   * is not repeatable may still have been done.
   */
  async call(call: HttpCall, options: CallOptions): Promise<HttpAnswer> {
    try {
      return await this.#tries(call, options);
    } catch (error) {
      throw storeFault(options.action, error);
    }
  }

  /**
   * One query that waits at the server until there is news, or for its time. Whether the server lives is looked after meanwhile.
   * @param waitMs as said in the call's `wait`
   * @throws HttpError, StatusError
   */
  async wait(
    call: HttpCall,
    { waitMs, also }: { readonly waitMs: number; readonly also: readonly number[] },
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const given = new AbortController();
    this.#blocking.add(given);
    void this.#probe();
    const at = this.#current;
    try {
      const timeoutMs = waitMs + waitMs / 16 + BLOCKING_EXTRA_MS;
      return await this.#once(call, { timeoutMs, also, signal: AbortSignal.any([signal, given.signal]) });
    } catch (error) {
      if (isPassing(error) && !signal.aborted) this.#leave(at, error);
      throw error;
    } finally {
      this.#blocking.delete(given);
    }
  }

  async #tries(call: HttpCall, options: CallOptions): Promise<HttpAnswer> {
    const { clock, random } = this.#options;
    const { repeatable, also = [] } = options;
    const all = Math.min(options.timeoutMs ?? Number.POSITIVE_INFINITY, this.#options.timeoutMs);
    const until = clock.elapsed() + all;
    let failure: unknown = null;
    for (let longest = RETRY_MIN_MS; ; longest = Math.min(longest * 2, RETRY_MAX_MS)) {
      const left = Math.max(1, until - clock.elapsed());
      // Another try would fail for lack of time, and hide why this one did.
      if (failure !== null && left < TRY_MIN_MS) throw this.#all(failure);
      const at = this.#current;
      try {
        const timeoutMs = repeatable ? Math.min(left, all * TRY_SHARE) : left;
        const answer = await this.#once(call, { timeoutMs, also, signal: NEVER });
        this.#well();
        return answer;
      } catch (error) {
        if (!isPassing(error)) throw error;
        failure = error;
        this.#leave(at, error);
        const again = repeatable || isUndone(error);
        if (!again || clock.elapsed() + longest >= until) throw this.#all(error);
        await pause(longest * (1 + random()), NEVER);
      }
    }
  }

  async #once(
    call: HttpCall,
    { also, ...patience }: { readonly timeoutMs: number; readonly also: readonly number[]; readonly signal: AbortSignal },
  ): Promise<HttpAnswer> {
    const endpoint = this.#endpoint();
    const answer = await this.#options.http.ask(endpoint, call, patience);
    if (answer.status !== 200 && !also.includes(answer.status))
      throw new StatusError(endpointName(endpoint), answer.status, answer.text);
    return answer;
  }

  /** While queries block there: a server that says nothing to this says nothing to them. One probe for all of them. */
  async #probe(): Promise<void> {
    if (this.#probing) return;
    this.#probing = true;
    try {
      for (;;) {
        await pause(PROBE_EVERY_MS, NEVER);
        if (this.#blocking.size === 0) return;
        const at = this.#current;
        try {
          await this.#options.http.ask(this.#endpoint(), PROBE, { timeoutMs: PROBE_MS, signal: NEVER });
        } catch (error) {
          this.#leave(at, error);
          const lost = new Error('no sign of life');
          for (const given of this.#blocking) given.abort(lost);
        }
      }
    } finally {
      this.#probing = false;
    }
  }

  /** The server does not do its work; another may. */
  #leave(at: number, error: unknown): void {
    const { endpoints, logger } = this.#options;
    if (at !== this.#current) return;
    this.#current = (this.#current + 1) % endpoints.length;
    if (!this.#failing)
      logger.warn({ reason: error instanceof Error ? error.message : String(error) }, 'consul: a server does not answer');
    this.#failing = true;
  }

  #well(): void {
    if (this.#failing) this.#options.logger.info({ server: endpointName(this.#endpoint()) }, 'consul: answers again');
    this.#failing = false;
  }

  #endpoint(): Endpoint {
    const endpoint = this.#options.endpoints[this.#current];
    if (!endpoint) throw new HttpError('no server is named', { reached: false });
    return endpoint;
  }

  /** With several servers the last one's fault stands for all. */
  #all(error: unknown): unknown {
    const { endpoints } = this.#options;
    if (endpoints.length === 1 || !(error instanceof HttpError)) return error;
    return new HttpError(`${endpoints.map(endpointName).join(', ')}: ${error.message}`, error);
  }
}
