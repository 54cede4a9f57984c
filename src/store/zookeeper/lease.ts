/** A lease as a session of its own, over a connection of its own: its nodes go with it. */
import type { SteadyClock } from '../../base/clock.ts';
import { invalid, MoorError } from '../../base/errors.ts';
import type { LeaseGrant, LeaseWire } from '../held-lease.ts';
import type { Connection } from './connection.ts';
import { CODE, isCode, LostError, storeFault } from './faults.ts';
import { Line, type ServersOptions } from './line.ts';

const NEVER = new AbortController().signal;

export class LeaseSession implements LeaseWire {
  readonly #line: Line;
  readonly #clock: SteadyClock;
  readonly #timeoutMs: number;

  private constructor(line: Line, clock: SteadyClock, timeoutMs: number) {
    this.#line = line;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * @param ttlMs the server may give more (minSessionTimeout)
   * @throws MoorError invalid when it gives less, as then others would take what is under the lease while its holder believes it has time
   */
  static async begin(
    servers: ServersOptions,
    { ttlMs, timeoutMs }: { readonly ttlMs: number; readonly timeoutMs: number },
  ): Promise<{ readonly grant: LeaseGrant; readonly session: LeaseSession }> {
    const line = new Line(servers, { sessionMs: Math.ceil(ttlMs), resume: true });
    const until = servers.clock.elapsed() + timeoutMs;
    try {
      let askedAt = servers.clock.elapsed();
      const connection = await line.get(until, NEVER);
      // Connecting may have taken long: a ping says from when on the session has its whole time.
      askedAt = servers.clock.elapsed();
      await connection.ping(Math.max(1, until - askedAt));
      if (connection.sessionMs < ttlMs) {
        await connection.end(Math.max(1, until - servers.clock.elapsed()));
        throw tooLong(connection, ttlMs);
      }
      const id = BigInt.asUintN(64, connection.session.id).toString(16);
      const grant = { id, ttlMs: connection.sessionMs, askedAt };
      return { grant, session: new LeaseSession(line, servers.clock, timeoutMs) };
    } catch (error) {
      line.close();
      throw storeFault('take a lease', error);
    }
  }

  /** For a commit under the lease. @throws MoorError unavailable when the session is no more; LostError */
  async connection(until: number): Promise<Connection | null> {
    try {
      return await this.#line.get(until, NEVER);
    } catch (error) {
      if (isCode(error, CODE.SESSION_EXPIRED)) return null;
      throw error;
    }
  }

  async renew(timeoutMs: number): Promise<number> {
    const until = this.#clock.elapsed() + timeoutMs;
    const connection = await this.connection(until);
    if (connection === null) return 0;
    await connection.ping(Math.max(1, until - this.#clock.elapsed()));
    return connection.sessionMs;
  }

  async end(): Promise<void> {
    const until = this.#clock.elapsed() + this.#timeoutMs;
    try {
      while (!(await this.#ended(until))) {
        // The connection broke: over the next one it shows whether the session is still there.
      }
    } catch (error) {
      throw error instanceof MoorError ? error : storeFault('end a lease', error);
    } finally {
      this.close();
    }
  }

  async #ended(until: number): Promise<boolean> {
    const connection = await this.connection(until);
    if (connection === null) return true;
    try {
      await connection.end(Math.max(1, until - this.#clock.elapsed()));
      return true;
    } catch (error) {
      if (error instanceof LostError && this.#clock.elapsed() < until) return false;
      throw error;
    }
  }

  /** The session is left to run out. */
  close(): void {
    this.#line.close();
  }
}

function tooLong({ name, sessionMs }: Connection, ttlMs: number): MoorError {
  const what = `cannot take a lease of ${ttlMs / 1_000} s: ZooKeeper at ${name} lets a session live for ${sessionMs / 1_000} s at most`;
  return invalid(`${what}; raise maxSessionTimeout there to ${Math.ceil(ttlMs)}`);
}
