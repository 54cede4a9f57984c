/**
 * One connection to one server, and gRPC calls over it. It is never mended: who notices that it is of no use opens another, so that
 * nothing waits for a reconnection that somebody else decides about.
 */
import { type ClientHttp2Session, connect } from 'node:http2';
import { isIP, connect as tcp, type Socket } from 'node:net';
import { connect as secure } from 'node:tls';
import type { SteadyClock } from '../../base/clock.ts';
import { type Endpoint, endpointName } from '../address.ts';
import { connectionFault, type TlsText } from '../tls.ts';
import { Call, type Listener } from './call.ts';
import { GRPC, RpcError } from './grpc.ts';

export interface SessionOptions {
  readonly tls: TlsText | null;
  readonly clock: SteadyClock;
  /** Milliseconds for the connection, the handshake and the server's first words. */
  readonly timeoutMs: number;
}

export interface CallHeaders {
  readonly [name: string]: string;
}

/**
 * Headers of every call. "hasleader" (etcd's rpctypes/metadatafields.go): a server that has lost its cluster must say so, at once, and
 * neither wait nor stay silent.
 */
const REQUEST = {
  ':method': 'POST',
  'content-type': 'application/grpc',
  te: 'trailers',
  'user-agent': 'moorline',
  hasleader: 'true',
} as const;

/** Bytes on the way before the other side has to say that it has read them. The default of 64 KiB makes long listings slow. */
const WINDOW_BYTES = 1 << 20;

export class Session {
  readonly name: string;
  /** How often the server had said something when somebody last asked for a sign of life. */
  askedAfter = -1;
  readonly #http2: ClientHttp2Session;
  readonly #clock: SteadyClock;
  #heardAt: number;
  #heard = 0;
  #going = false;
  /** Why it is of no use any more. */
  #reason: string | null = null;

  private constructor(name: string, { http2, socket }: Connection, clock: SteadyClock) {
    this.name = name;
    this.#http2 = http2;
    this.#clock = clock;
    this.#heardAt = clock.elapsed();
    http2.on('error', (error) => (this.#reason ??= connectionFault(error)));
    http2.on('goaway', () => (this.#going = true));
    socket.on('error', (error) => (this.#reason ??= connectionFault(error)));
    socket.on('close', () => this.destroy('the connection was closed'));
  }

  /** @throws RpcError, not reached, when the server does not answer in time. A stopped process is reachable by TCP: its settings are awaited. */
  static open(endpoint: Endpoint, options: SessionOptions, signal: AbortSignal): Promise<Session> {
    const name = endpointName(endpoint);
    const { clock, timeoutMs } = options;
    const connection = dial(endpoint, options.tls);
    const { http2, socket } = connection;
    return new Promise((resolve, reject) => {
      const fail = (text: string): void => {
        settle();
        setImmediate(() => {
          http2.destroy();
          socket.destroy();
        });
        reject(new RpcError(GRPC.UNAVAILABLE, `${name}: ${text}`, false));
      };
      const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs);
      const aborted = (): void => fail('given up');
      const failed = (error: Error): void => fail(connectionFault(error));
      const closed = (): void => fail('the connection was closed');
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', aborted);
        socket.off('error', failed);
        socket.off('close', closed);
      };
      // A session whose socket fails in the handshake tells nobody (seen with Node 26): the socket is listened to.
      socket.once('error', failed);
      socket.once('close', closed);
      signal.addEventListener('abort', aborted, { once: true });
      if (signal.aborted) return aborted();
      http2.once('remoteSettings', () => {
        settle();
        setImmediate(() => {
          if (!http2.destroyed) http2.setLocalWindowSize(WINDOW_BYTES);
        });
        resolve(new Session(name, connection, clock));
      });
    });
  }

  /** Whether new calls may be made on it. */
  get usable(): boolean {
    return !this.#going && this.#reason === null && !this.#http2.closed && !this.#http2.destroyed;
  }

  /** Why it is of no use any more. */
  get reason(): string {
    return this.#reason ?? 'the server is going away';
  }

  /** When the server last said anything, on the steady clock. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** How often the server has said anything: to tell whether it did since some moment. */
  get heard(): number {
    return this.#heard;
  }

  /** @returns the answer to one message. @throws RpcError */
  unary(
    path: string,
    message: Uint8Array,
    options: { readonly headers: CallHeaders; readonly timeoutMs: number },
  ): Promise<Buffer> {
    const { headers, timeoutMs } = options;
    return new Promise((resolve, reject) => {
      let answer: Buffer | null = null;
      const call = this.start(
        path,
        { ...headers, 'grpc-timeout': `${Math.max(1, Math.round(timeoutMs))}m` },
        {
          message: (given) => (answer = given),
          end: (error) => {
            clearTimeout(timer);
            if (error) reject(error);
            else if (answer) resolve(answer);
            else reject(new RpcError(GRPC.INTERNAL, `${this.name}: an answer without content`, true));
          },
        },
      );
      const timer = setTimeout(
        () => call.fail(new RpcError(GRPC.DEADLINE_EXCEEDED, `${this.name}: no answer within ${Math.round(timeoutMs)} ms`, true)),
        timeoutMs,
      );
      call.send(message);
      call.finish();
    });
  }

  /** Begins a call. What goes wrong is told to the listener, never before this returns. */
  start(path: string, headers: CallHeaders, listener: Listener): Call {
    const heard = (): void => {
      this.#heardAt = this.#clock.elapsed();
      this.#heard++;
    };
    const options = { name: this.name, heard, listener };
    const gone = (): Call => new Call(null, { ...options, reason: () => this.reason });
    if (!this.usable) return gone();
    try {
      const stream = this.#http2.request({ ...REQUEST, ':path': path, ...headers }, { endStream: false });
      return new Call(stream, { ...options, reason: () => this.#reason });
    } catch (error) {
      // A connection has 2^30 calls in it: at a hundred a second they are used up after four months.
      this.retire(connectionFault(error));
      return gone();
    }
  }

  /** What is under way may finish; new calls go elsewhere. */
  retire(reason: string): void {
    this.#reason ??= reason;
    setImmediate(() => this.#http2.close());
  }

  /** Ends every call on it, in a turn of its own (see call.ts). */
  destroy(reason: string): void {
    this.#reason ??= reason;
    setImmediate(() => this.#http2.destroy());
  }
}

interface Connection {
  readonly http2: ClientHttp2Session;
  readonly socket: Socket;
}

function dial({ host, port }: Endpoint, tls: TlsText | null): Connection {
  // A server name is never an address (RFC 6066 section 3); the certificate is compared with the host in any case.
  const name = isIP(host) ? {} : { servername: host };
  const socket = tls
    ? secure({ host, port, ...name, ...tls, ALPNProtocols: ['h2'], minVersion: 'TLSv1.2' })
    : tcp({ host, port });
  socket.setNoDelay(true);
  const settings = { enablePush: false, initialWindowSize: WINDOW_BYTES };
  const authority = `${tls ? 'https' : 'http'}://${endpointName({ host, port })}`;
  const http2 = connect(authority, { createConnection: () => socket, settings });
  // Both go on to fail while they end, when nobody wants to know any more; without a listener that would end the process.
  socket.on('error', () => {});
  http2.on('error', () => {});
  return { http2, socket };
}
