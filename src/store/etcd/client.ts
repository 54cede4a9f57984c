/** Calls to a cluster of etcd servers: bounded in time, tried again where that is safe, with a valid token. */
import type { SteadyClock } from '../../base/clock.ts';
import type { Rpc } from './api.ts';
import type { Auth } from './auth.ts';
import { isPassing, isTokenStale, isUndone, storeFault } from './faults.ts';
import { GRPC, RpcError } from './grpc.ts';
import { pause } from '../pause.ts';
import type { CallHeaders, Session } from './session.ts';
import type { Sessions } from './sessions.ts';

export interface ClientOptions {
  readonly sessions: Sessions;
  readonly auth: Auth;
  readonly clock: SteadyClock;
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
  /** Less time than usual, in milliseconds. */
  readonly timeoutMs?: number;
}

/**
 * Before another try of a call to which a server answered with a passing fault, such as having no leader: doubled each time, and up to
 * twice that by chance, as all nodes see an election at the same time.
 */
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 400;
/** Share of the time that one try gets when the call may be tried again elsewhere. */
const TRY_SHARE = 0.4;

/** A call on its way has no signal: it ends by itself, in time. */
const NEVER = new AbortController().signal;

export class Client {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /**
   * @throws MoorError unavailable (no server, or none with a leader), timeout, forbidden, invalid, exhausted. After `timeout` and
   * `unavailable` what is not repeatable may still have been done.
   */
  async call<Request, Response>(rpc: Rpc<Request, Response>, request: Request, options: CallOptions): Promise<Response> {
    const { action, repeatable } = options;
    const timeoutMs = Math.min(options.timeoutMs ?? Number.POSITIVE_INFINITY, this.#options.timeoutMs);
    try {
      return rpc.response.decode(await this.#tries(rpc.path, rpc.request.encode(request), { repeatable, timeoutMs }));
    } catch (error) {
      throw storeFault(action, error);
    }
  }

  /** A connection, and headers with a token for it: for calls that stay open. @throws RpcError */
  async connect(signal: AbortSignal): Promise<{ readonly session: Session; readonly headers: CallHeaders }> {
    const session = await this.#options.sessions.get(Number.POSITIVE_INFINITY, signal);
    return { session, headers: await this.#options.auth.headers(session, this.#options.timeoutMs) };
  }

  /** An open call was refused for its token. @returns whether another try makes sense */
  refused(headers: CallHeaders): boolean {
    return this.#options.auth.refused(headers);
  }

  /** An open call on it failed. */
  leave(session: Session, error: unknown): void {
    if (session.usable) this.#options.sessions.leave(session, error instanceof Error ? error.message : String(error));
  }

  async #tries(
    path: string,
    message: Buffer,
    limits: { readonly repeatable: boolean; readonly timeoutMs: number },
  ): Promise<Buffer> {
    const { sessions, auth, clock, random } = this.#options;
    const until = clock.elapsed() + limits.timeoutMs;
    let renewed = false;
    for (let longest = RETRY_MIN_MS; ; longest = Math.min(longest * 2, RETRY_MAX_MS)) {
      const session = await sessions.get(until, NEVER);
      const left = until - clock.elapsed();
      const share = limits.repeatable ? Math.min(left, limits.timeoutMs * TRY_SHARE) : left;
      const { heard } = session;
      let headers: CallHeaders = {};
      try {
        headers = await auth.headers(session, share);
        return await session.unary(path, message, { headers, timeoutMs: share });
      } catch (error) {
        if (isTokenStale(error) && !renewed && auth.refused(headers)) {
          renewed = true;
          continue;
        }
        // Not a word since the call was made, about this or anything else: it is not slow, it is gone.
        if (isTimeout(error) && session.heard === heard) session.destroy('no answer');
        if (!isPassing(error)) throw error;
        const answered = session.usable;
        this.leave(session, error);
        const again = limits.repeatable || isUndone(error);
        if (!again || clock.elapsed() + longest >= until) throw error;
        if (answered) await pause(longest * (1 + random()), NEVER);
      }
    }
  }
}

const isTimeout = (error: unknown): boolean => error instanceof RpcError && error.code === GRPC.DEADLINE_EXCEEDED;
