/** One connection at a time to one of several servers: the next server when it is of no use any more, in the same session or a new one. */
import type { Logger, SteadyClock } from '../../base/clock.ts';
import { type Endpoint, endpointName, type UserPassword } from '../address.ts';
import { pause, settled } from '../pause.ts';
import type { TlsText } from '../tls.ts';
import type { SessionId } from './api.ts';
import { Connection } from './connection.ts';
import { CODE, isCode, LostError, ZkError } from './faults.ts';

/** For TCP, TLS and the server's first words. Two lost packets in a row (1 s, then 2 s more: RFC 6298) are too many. */
const CONNECT_MS = 1_500;
/** Between rounds over all servers: doubled each time, with half of it by chance, so that a thousand nodes do not come back as one. */
const PAUSE_MIN_MS = 50;
const PAUSE_MAX_MS = 1_000;

export interface ServersOptions {
  readonly endpoints: readonly Endpoint[];
  /** Asked for each connection: a certificate that was renewed is taken from then on. */
  readonly tls: () => Promise<TlsText | null>;
  readonly auth: UserPassword | null;
  readonly clock: SteadyClock;
  readonly logger: Logger;
  /** 0 to 1. */
  readonly random: () => number;
}

export interface LineOptions {
  /** Milliseconds; the server may choose another time. */
  readonly sessionMs: number;
  /** The session goes on over connections, and what goes with it stays. Otherwise each connection has one of its own. */
  readonly resume: boolean;
}

export class Line {
  readonly #servers: ServersOptions;
  readonly #options: LineOptions;
  #next: number;
  #current: Connection | null = null;
  #session: SessionId | null = null;
  #opening: Promise<void> | null = null;
  /** Why the last attempt failed. */
  #failure: Error | null = null;
  #failures = 0;
  #notBefore = 0;
  readonly #closing = new AbortController();

  constructor(servers: ServersOptions, options: LineOptions) {
    this.#servers = servers;
    this.#options = options;
    this.#next = Math.floor(servers.random() * servers.endpoints.length) % servers.endpoints.length;
  }

  /** The one that is in use now. */
  get current(): Connection | null {
    return this.#current?.usable ? this.#current : null;
  }

  /**
   * @param until moment on the steady clock to give up at
   * @throws LostError, not reached; ZkError when who we are is not believed, or the session that was to go on is no more
   */
  async get(until: number, signal: AbortSignal): Promise<Connection> {
    const { clock } = this.#servers;
    for (;;) {
      if (this.#current?.usable) return this.#current;
      if (this.#closing.signal.aborted) throw this.#lost('the store is closed');
      if (signal.aborted) throw this.#lost('given up');
      if (this.#failure instanceof ZkError && clock.elapsed() < this.#notBefore) throw this.#failure;
      if (clock.elapsed() >= until) throw this.#lost(this.#failure?.message ?? this.#current?.reason ?? 'no answer');
      await pause(Math.min(this.#notBefore, until) - clock.elapsed(), signal);
      // Many callers share one attempt, and each waits for as long as it has time.
      this.#opening ??= this.#open().finally(() => (this.#opening = null));
      await settled(this.#opening, until - clock.elapsed(), signal);
    }
  }

  /** Nothing is said to the server: the session, if it is to go on, runs out in time. */
  close(): void {
    this.#closing.abort();
    this.#current?.destroy('the store is closed');
  }

  /** Tries every server once. Leaves the outcome in `#current` or `#failure`. */
  async #open(): Promise<void> {
    const { endpoints, logger, clock, random } = this.#servers;
    const lost = this.#current;
    this.#current = null;
    if (lost) {
      this.#next = (this.#next + 1) % endpoints.length;
      logger.warn({ server: lost.name, reason: lost.reason }, 'zookeeper: connection lost');
    }
    for (let tried = 0; tried < endpoints.length; tried++) {
      try {
        this.#current = await this.#dial();
        if (this.#options.resume) this.#session = this.#current.session;
        if (lost || this.#failures > 0) logger.info({ server: this.#current.name }, 'zookeeper: connected again');
        this.#failures = 0;
        this.#failure = null;
        return;
      } catch (error) {
        this.#failure = error instanceof Error ? error : new Error(String(error));
        if (this.#closing.signal.aborted) return;
        this.#next = (this.#next + 1) % endpoints.length;
        if (isCode(error, CODE.SESSION_EXPIRED)) break;
      }
    }
    if (this.#failures++ === 0)
      logger.warn({ servers: this.#names(), reason: this.#failure?.message }, 'zookeeper: cannot connect');
    const longest = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** this.#failures);
    this.#notBefore = clock.elapsed() + longest * (0.5 + random() / 2);
  }

  async #dial(): Promise<Connection> {
    const { endpoints, tls, auth, clock } = this.#servers;
    const endpoint = endpoints[this.#next];
    if (!endpoint) throw this.#lost('no server is named');
    const { sessionMs } = this.#options;
    const options = { tls: await tls(), auth, clock, timeoutMs: CONNECT_MS, sessionMs, session: this.#session };
    const connection = await Connection.open(endpoint, options, this.#closing.signal);
    if (this.#closing.signal.aborted) connection.destroy('the store is closed');
    return connection;
  }

  #lost(text: string): LostError {
    const several = this.#servers.endpoints.length > 1 || this.#failure === null;
    return new LostError(several ? `${this.#names()}: ${text}` : text, { reached: false });
  }

  #names(): string {
    return this.#servers.endpoints.map(endpointName).join(', ');
  }
}
