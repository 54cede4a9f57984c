/** Which of several servers we talk to: one connection at a time, the next server when it is of no use any more. */
import type { Logger, SteadyClock } from '../../base/clock.ts';
import { type Endpoint, endpointName } from '../address.ts';
import { pause, settled } from '../pause.ts';
import type { TlsText } from '../tls.ts';
import { GRPC, RpcError } from './grpc.ts';
import { Session } from './session.ts';

/** For TCP, TLS and the server's first words. Two lost packets in a row (1 s, then 2 s more: RFC 6298) are too many. */
const CONNECT_MS = 1_500;
/** Between rounds over all servers: doubled each time, with half of it by chance, so that a thousand nodes do not come back as one. */
const PAUSE_MIN_MS = 50;
const PAUSE_MAX_MS = 1_000;

export interface SessionsOptions {
  readonly endpoints: readonly Endpoint[];
  /** Asked for each connection: a certificate that was renewed is taken from then on. */
  readonly tls: () => Promise<TlsText | null>;
  readonly clock: SteadyClock;
  readonly logger: Logger;
  /** 0 to 1. */
  readonly random: () => number;
}

export class Sessions {
  readonly #options: SessionsOptions;
  /** The one to try next. */
  #next: number;
  #current: Session | null = null;
  #opening: Promise<void> | null = null;
  /** Why the last attempt failed. */
  #failure: string | null = null;
  #failures = 0;
  #notBefore = 0;
  readonly #closing = new AbortController();

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#next = Math.floor(options.random() * options.endpoints.length) % options.endpoints.length;
  }

  /**
   * @param until moment on the steady clock to give up at
   * @throws RpcError, not reached
   */
  async get(until: number, signal: AbortSignal): Promise<Session> {
    const { clock } = this.#options;
    while (!this.#current?.usable) {
      if (this.#closing.signal.aborted) throw this.#unavailable('the store is closed');
      if (signal.aborted) throw new RpcError(GRPC.CANCELLED, `${this.#names()}: given up`, false);
      if (clock.elapsed() >= until) throw this.#unavailable(this.#failure ?? 'no answer');
      await pause(Math.min(this.#notBefore, until) - clock.elapsed(), signal);
      // Many callers share one attempt, and each waits for as long as it has time.
      this.#opening ??= this.#open().finally(() => (this.#opening = null));
      await settled(this.#opening, until - clock.elapsed(), signal);
    }
    return this.#current;
  }

  /** The server at its other end does not do its work; another may. What is under way goes on. */
  leave(session: Session, reason: string): void {
    if (this.#options.endpoints.length > 1) session.retire(reason);
  }

  close(): void {
    this.#closing.abort();
    this.#current?.destroy('the store is closed');
  }

  /** Tries every server once. Leaves the outcome in `#current` or `#failure`. */
  async #open(): Promise<void> {
    const { endpoints, logger, clock, random } = this.#options;
    const lost = this.#current;
    this.#current = null;
    if (lost) {
      this.#next = (this.#next + 1) % endpoints.length;
      logger.warn({ server: lost.name, reason: lost.reason }, 'etcd: connection lost');
    }
    for (let tried = 0; tried < endpoints.length; tried++) {
      try {
        this.#current = await this.#dial();
        if (lost || this.#failures > 0) logger.info({ server: this.#current.name }, 'etcd: connected again');
        this.#failures = 0;
        return;
      } catch (error) {
        this.#failure = error instanceof Error ? error.message : String(error);
        if (this.#closing.signal.aborted) return;
        this.#next = (this.#next + 1) % endpoints.length;
      }
    }
    if (this.#failures++ === 0) logger.warn({ servers: this.#names(), reason: this.#failure }, 'etcd: cannot connect');
    const longest = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** this.#failures);
    this.#notBefore = clock.elapsed() + longest * (0.5 + random() / 2);
  }

  async #dial(): Promise<Session> {
    const { endpoints, tls, clock } = this.#options;
    const endpoint = endpoints[this.#next];
    if (!endpoint) throw this.#unavailable('no server is named');
    const session = await Session.open(endpoint, { tls: await tls(), clock, timeoutMs: CONNECT_MS }, this.#closing.signal);
    if (this.#closing.signal.aborted) session.destroy('the store is closed');
    return session;
  }

  #unavailable(text: string): RpcError {
    return new RpcError(GRPC.UNAVAILABLE, this.#options.endpoints.length > 1 ? `${this.#names()}: ${text}` : text, false);
  }

  #names(): string {
    return this.#options.endpoints.map(endpointName).join(', ');
  }
}
