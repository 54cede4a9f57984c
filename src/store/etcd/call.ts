/** One call on a connection: messages out, messages in, and how it ended. */
import { type ClientHttp2Stream, constants } from 'node:http2';
import { connectionFault } from '../tls.ts';
import { frame, GRPC, outcome, RpcError, Unframer } from './grpc.ts';

export interface Listener {
  readonly message: (message: Buffer) => void;
  /** Once, last. null: the server has ended the call well. */
  readonly end: (error: RpcError | null) => void;
}

export interface CallOptions {
  readonly name: string;
  /** Why the connection has ended, once it has. */
  readonly reason: () => string | null;
  readonly heard: () => void;
  readonly listener: Listener;
}

export class Call {
  readonly #stream: ClientHttp2Stream | null;
  readonly #options: CallOptions;
  readonly #unframer = new Unframer();
  #outcome: RpcError | 'ok' | null = null;
  #ended = false;

  /** @param stream null: the connection was gone before the call */
  constructor(stream: ClientHttp2Stream | null, options: CallOptions) {
    this.#stream = stream;
    this.#options = options;
    if (!stream) {
      queueMicrotask(() => this.#end(this.#unavailable(options.reason() ?? 'the connection is closed', false)));
      return;
    }
    let failure: string | null = null;
    stream.on('response', (headers) => {
      options.heard();
      const status = headers[':status'];
      this.#outcome = this.#named(outcome(headers)) ?? (status === 200 ? null : this.#unavailable(`HTTP status ${status}`, true));
    });
    stream.on('trailers', (headers) => (this.#outcome ??= this.#named(outcome(headers))));
    stream.on('data', (piece: Buffer) => this.#take(piece));
    // The server is done; it may wait for us to be done too.
    stream.on('end', () => this.#close());
    stream.on('error', (error) => (failure = connectionFault(error)));
    stream.on('close', () => {
      if (this.#outcome === 'ok') this.#end(this.#unframer.partial ? this.#unavailable('an answer that is cut', true) : null);
      else if (this.#outcome) this.#end(this.#outcome);
      else {
        const refused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
        this.#end(this.#unavailable(options.reason() ?? failure ?? 'the call was cut off', !refused));
      }
    });
  }

  send(message: Uint8Array): void {
    if (this.#stream?.writable) this.#stream.write(frame(message));
  }

  /** We have nothing more to say. */
  finish(): void {
    this.#stream?.end();
  }

  /** Stops reading: the server is told to wait once its window is full. */
  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  /** Gives the call up, with this for the listener. */
  fail(error: RpcError): void {
    this.#end(error);
  }

  #take(piece: Buffer): void {
    this.#options.heard();
    if (this.#ended) return;
    try {
      for (const message of this.#unframer.push(piece)) this.#options.listener.message(message);
    } catch (error) {
      this.#end(
        error instanceof RpcError ? error : new RpcError(GRPC.INTERNAL, `${this.#options.name}: ${connectionFault(error)}`, true),
      );
    }
  }

  #end(error: RpcError | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#close();
    this.#options.listener.end(error);
  }

  /**
   * Later, in a turn of its own: Node calls us from within nghttp2, which closing would enter a second time and corrupt (a failed
   * assertion of Node within seconds under load; github.com/nodejs/node/issues/38964). For the same reason never with NO_ERROR, which is
   * sent at once.
   */
  #close(): void {
    const stream = this.#stream;
    if (stream) setImmediate(() => stream.close(constants.NGHTTP2_CANCEL));
  }

  /** With the server's name in front. */
  #named(result: RpcError | 'ok' | null): RpcError | 'ok' | null {
    if (!(result instanceof RpcError)) return result;
    return new RpcError(result.code, `${this.#options.name}: ${result.message}`, result.reached);
  }

  #unavailable(text: string, reached: boolean): RpcError {
    return new RpcError(GRPC.UNAVAILABLE, `${this.#options.name}: ${text}`, reached);
  }
}
