/** How long a request's body may make no progress. Node's own `requestTimeout` counts the whole of it, which would end a long `docker load`. */
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface Patience {
  /** Milliseconds for a body that is read whole before anything is done. */
  readonly whole: number;
  /** Milliseconds for an archive that is read as it comes: whatever makes it may think for a while before it writes. */
  readonly stream: number;
}

export const PATIENCE: Patience = { whole: 60_000, stream: 15 * 60_000 };

/**
 * Refuses a request whose client sends nothing more for so long, and does not count the time in which it is us who do not read.
 * @param ms what is meant by long; it may last twice that
 */
export function watchBody(request: IncomingMessage, response: ServerResponse, ms: number): void {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  if (encoding === undefined && (length === undefined || length === '0')) return;
  const { socket } = request;
  let seen = socket.bytesRead;
  let [waiting, stopped] = [true, false];
  const look = (): void => {
    if (request.complete || socket.destroyed) return;
    // What has come and was not taken keeps Node from reading more: then it is the client who waits for us.
    const waited = waiting;
    waiting = request.readableLength === 0;
    if (waited && waiting && socket.bytesRead === seen) {
      // Unless it was we who were late: then what has come is read before this.
      setImmediate(() => {
        if (stopped) return;
        if (socket.bytesRead === seen) refuse(request, response, ms);
        else again();
      });
    } else again();
  };
  const again = (): void => {
    seen = socket.bytesRead;
    timer = setTimeout(look, ms).unref();
  };
  let timer = setTimeout(look, ms).unref();
  const stop = (): void => {
    stopped = true;
    clearTimeout(timer);
  };
  watched.set(request, stop);
  request.once('close', stop);
}

const watched = new WeakMap<IncomingMessage, () => void>();

/** Its connection is no HTTP any more: a terminal may rest for days. */
export function forgetBody(request: IncomingMessage): void {
  watched.get(request)?.();
}

function refuse({ socket }: IncomingMessage, response: ServerResponse, ms: number): void {
  if (response.headersSent || !socket.writable) {
    socket.destroy();
    return;
  }
  const body = JSON.stringify({ message: `request body: nothing came for ${ms / 1000} s` });
  socket.end(
    `HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
