/**
 * One connection to one server, in one session. Answers come in the order of requests, and a watch's event comes before any answer that
 * shows what it tells. It is never mended: who notices that it is of no use opens another.
 */
import { connect as tcp, isIP, type Socket } from 'node:net';
import { connect as secure } from 'node:tls';
import type { SteadyClock } from '../../base/clock.ts';
import { type Endpoint, endpointName, type UserPassword } from '../address.ts';
import { connectionFault, type TlsText } from '../tls.ts';
import {
  type Connected,
  closeSession,
  connectFrame,
  digestAuth,
  ping,
  type Request,
  readConnected,
  readEvent,
  type SessionId,
  type WatchEvent,
  XID,
} from './api.ts';
import { CODE, LostError, ProtocolError, ZkError } from './faults.ts';
import { Frames } from './frames.ts';
import { JuteReader, JuteWriter } from './jute.ts';

export interface ConnectionOptions {
  readonly tls: TlsText | null;
  readonly auth: UserPassword | null;
  readonly clock: SteadyClock;
  /** Milliseconds for the connection and the server's first words. */
  readonly timeoutMs: number;
  /** Milliseconds without a sign of life after which the server ends the session; it may choose another. */
  readonly sessionMs: number;
  /** To be gone on with; null: a new one. */
  readonly session: SessionId | null;
}

export interface Answer {
  /** Everything up to this transaction is in the answer. */
  readonly zxid: number;
  readonly from: JuteReader;
}

interface Pending {
  readonly xid: number;
  readonly done: (answer: Answer) => void;
  readonly fail: (error: Error) => void;
}

/** Silence after which we ask, and time for an answer, in milliseconds. */
const ASK_AFTER_MS = 2_000;
const ANSWER_MS = 1_500;
/** A request that is larger makes the server hang up (jute.maxbuffer, 0xfffff by default). */
export const REQUEST_MAX_BYTES = 1_048_575;

export class Connection {
  readonly name: string;
  readonly mine: boolean;
  readonly session: SessionId;
  /** Agreed with the server, in milliseconds. */
  readonly sessionMs: number;
  readonly #socket: Socket;
  readonly #clock: SteadyClock;
  readonly #pending: Pending[] = [];
  readonly #closed = new AbortController();
  #onEvent: (event: WatchEvent) => void = () => {};
  #xid = 0;
  #heardAt: number;
  #reason: string | null = null;

  private constructor(wire: Wire, { session, timeoutMs }: Connected, { clock, auth }: ConnectionOptions) {
    this.name = wire.name;
    this.mine = auth !== null;
    this.session = session;
    this.sessionMs = timeoutMs;
    this.#socket = wire.socket;
    this.#clock = clock;
    this.#heardAt = clock.elapsed();
    wire.listen(
      (frame) => this.#take(frame),
      (reason) => this.destroy(reason),
    );
    this.#pulse();
  }

  /** @throws LostError, not reached; ZkError: the session is expired, or who we are is not believed */
  static async open(endpoint: Endpoint, options: ConnectionOptions, signal: AbortSignal): Promise<Connection> {
    const name = endpointName(endpoint);
    const { tls, session, sessionMs, timeoutMs, auth } = options;
    const wire = new Wire(name, dial(endpoint, tls), tls !== null);
    const stop = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(timeoutMs))]);
    const connected = readConnected(await wire.first(connectFrame(session, sessionMs), stop));
    if (connected.timeoutMs <= 0) {
      wire.socket.destroy();
      throw new ZkError(name, CODE.SESSION_EXPIRED);
    }
    const connection = new Connection(wire, connected, options);
    if (auth) await connection.#introduce(auth, timeoutMs);
    return connection;
  }

  get usable(): boolean {
    return this.#reason === null;
  }

  /** Why it is of no use any more. */
  get reason(): string | null {
    return this.#reason;
  }

  /** Aborts when it is of no use any more. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Of watches, each before any answer that shows it. */
  onEvent(listener: (event: WatchEvent) => void): void {
    this.#onEvent = listener;
  }

  /** @throws ZkError; LostError; ProtocolError */
  call(request: Request, timeoutMs: number): Promise<Answer> {
    return this.#send(++this.#xid & 0x7fff_ffff, request, timeoutMs);
  }

  /** The session lives, and has its whole time again from when this was called. */
  async ping(timeoutMs: number): Promise<void> {
    await this.#send(XID.PING, ping, timeoutMs);
  }

  /** Ends the session with all that goes with it. */
  async end(timeoutMs: number): Promise<void> {
    await this.call(closeSession, timeoutMs);
    this.destroy('the session was closed');
  }

  /** The session goes on without it. */
  destroy(reason: string): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#socket.destroy();
    this.#closed.abort();
    for (const { fail } of this.#pending.splice(0)) fail(new LostError(`${this.name}: ${reason}`, { reached: true }));
  }

  async #introduce({ user, password }: UserPassword, timeoutMs: number): Promise<void> {
    try {
      await this.#send(XID.AUTH, digestAuth(user, password), timeoutMs);
    } catch (error) {
      this.destroy('the password was refused');
      throw error instanceof LostError ? new LostError(error.message, { reached: false }) : error;
    }
  }

  #send(xid: number, { op, write }: Request, timeoutMs: number): Promise<Answer> {
    if (this.#reason !== null) return Promise.reject(new LostError(`${this.name}: ${this.#reason}`, { reached: false }));
    const body = new JuteWriter().int(xid).int(op);
    write(body);
    return new Promise((done, fail) => {
      const timer = setTimeout(() => {
        fail(new LostError(`${this.name}: no answer`, { reached: true, timeout: true }));
        // Answers come in order: with one that does not come, none does.
        this.destroy('no answer');
      }, timeoutMs);
      const settled =
        <T>(how: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer);
          how(value);
        };
      this.#pending.push({ xid, done: settled(done), fail: settled(fail) });
      this.#socket.write(body.frame());
    });
  }

  #take(frame: Buffer): void {
    this.#heardAt = this.#clock.elapsed();
    try {
      const from = new JuteReader(frame);
      const xid = from.int();
      const zxid = from.zxid();
      const code = from.int();
      if (xid === XID.EVENT) return this.#onEvent(readEvent(from));
      const [next] = this.#pending;
      if (next?.xid !== xid) throw new ProtocolError(`an answer to ${xid}, where ${next?.xid ?? 'none'} was due`);
      this.#pending.shift();
      if (code !== CODE.OK) next.fail(new ZkError(this.name, code, zxid));
      else next.done({ zxid, from });
    } catch (error) {
      this.destroy(error instanceof Error ? error.message : String(error));
    }
  }

  /** Keeps the session, and notices a server that says nothing any more, for which TCP would take minutes. */
  #pulse(): void {
    const every = Math.min(ASK_AFTER_MS, this.sessionMs / 3);
    const look = (): void => {
      if (this.#reason !== null) return;
      const silent = this.#clock.elapsed() - this.#heardAt;
      if (silent >= every) this.ping(Math.min(ANSWER_MS, this.sessionMs / 3)).then(again, () => {});
      else wait(every - silent);
    };
    const again = (): void => wait(every);
    // The clock has steps of 10 ms: a little late, so as not to look twice.
    const wait = (ms: number): void => void setTimeout(look, ms + 10).unref();
    wait(every);
  }
}

function dial({ host, port }: Endpoint, tls: TlsText | null): Socket {
  if (tls === null) return tcp({ host, port, noDelay: true });
  return secure({ host, port, ...tls, ...(isIP(host) ? {} : { servername: host }) }).setNoDelay(true);
}

/** A socket, its frames, and the first question on it. */
class Wire {
  readonly name: string;
  readonly socket: Socket;
  readonly #secure: boolean;
  readonly #frames = new Frames();
  #onFrame: ((frame: Buffer) => void) | null = null;
  #onEnd: (reason: string) => void = () => {};
  /** Came before anybody listened. */
  readonly #early: Buffer[] = [];

  constructor(name: string, socket: Socket, encrypted: boolean) {
    this.name = name;
    this.socket = socket;
    this.#secure = encrypted;
    socket.on('error', (error) => this.#onEnd(connectionFault(error)));
    socket.on('close', () => this.#onEnd('the connection was closed'));
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const frame of this.#frames.push(bytes)) {
          if (this.#onFrame) this.#onFrame(frame);
          else this.#early.push(frame);
        }
      } catch (error) {
        this.#onEnd(error instanceof Error ? error.message : String(error));
        socket.destroy();
      }
    });
  }

  listen(onFrame: (frame: Buffer) => void, onEnd: (reason: string) => void): void {
    this.#onFrame = onFrame;
    this.#onEnd = onEnd;
    for (const frame of this.#early.splice(0)) onFrame(frame);
  }

  first(question: Buffer, signal: AbortSignal): Promise<JuteReader> {
    return new Promise((done, fail) => {
      const over = (reason: string): void => {
        signal.removeEventListener('abort', aborted);
        fail(new LostError(`${this.name}: ${reason}`, { reached: false }));
        this.socket.destroy();
      };
      const aborted = (): void => over('no connection in time');
      this.#onEnd = over;
      this.#onFrame = (frame) => {
        signal.removeEventListener('abort', aborted);
        this.#onFrame = null;
        done(new JuteReader(frame));
      };
      if (signal.aborted) return aborted();
      signal.addEventListener('abort', aborted, { once: true });
      this.socket.once(this.#secure ? 'secureConnect' : 'connect', () => this.socket.write(question));
    });
  }
}
