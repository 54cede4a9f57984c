/**
 * Requests of one connection are answered one after the other. Node hands over a pipelined request as soon as it is there; a client
 * that sends a removal behind a creation would have the removal refused, and be left with the network (RFC 9112 section 9.3.2: in
 * parallel only what is safe).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** The last request of each connection. */
const latest = new WeakMap<Socket, ServerResponse>();

/** Calls `go` when the one before it on its connection is answered; never, when the client has gone before that. */
export function inTurn({ socket }: IncomingMessage, response: ServerResponse, go: () => void): void {
  const before = latest.get(socket);
  latest.set(socket, response);
  if (before === undefined || before.writableFinished) go();
  else
    before.once('finish', () => {
      // It may have been the last answer: `Connection: close`.
      if (socket.writable) go();
    });
}
