/**
 * Connections that stop being HTTP: `attach` and `exec` carry a process's streams, in both directions, after the head of an answer.
 * Newer clients ask for it by `Upgrade: tcp` and get 101; older ones just send their request, get 200, and use the socket.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { forgetBody } from './patience.ts';
import { splitVersion } from './version.ts';

const { ServerResponse: Response } = process.getBuiltinModule('node:http');

/** Requests that came by the `upgrade` event: Node has taken its parser off their sockets already. */
const upgraded = new WeakSet<IncomingMessage>();

export const isUpgraded = (request: IncomingMessage): boolean => upgraded.has(request);

/** For a server's `shouldUpgradeCallback`: other requests with an `Upgrade` header (`/session`, h2c) are plain requests. */
export function wantsUpgrade(request: IncomingMessage): boolean {
  const url = request.url ?? '';
  const path = (splitVersion(url)?.rest ?? url).split('?', 1)[0] ?? '';
  return request.method === 'POST' && /^\/(?:containers\/[^/]+\/attach|exec\/[^/]+\/start)$/.test(path);
}

/** For a server's `upgrade` event: the request goes through the router as any other, so that refusals are ordinary answers. */
export function routeUpgrade(app: FastifyInstance): (request: IncomingMessage, socket: Duplex, head: Buffer) => void {
  return (request, socket, head) => {
    // Without a listener a reset by the peer would end the process.
    socket.on('error', () => socket.destroy());
    upgraded.add(request);
    // Bytes of the stream that came in one packet with the request.
    if (head.length > 0) socket.unshift(head);
    const response: ServerResponse = new Response(request);
    // The socket is not given back to the HTTP server: a refusal is the last answer on it.
    response.shouldKeepAlive = false;
    response.assignSocket(request.socket);
    response.on('finish', () => {
      response.detachSocket(request.socket);
      socket.end();
      socket.resume();
    });
    app.routing(request, response);
  };
}

/**
 * Takes the socket of a request over from the HTTP server. Nothing has been written to it; the body has been read, or is read by nobody.
 * @returns the socket, and whether the client asked by `Upgrade`
 */
export function takeSocket(request: FastifyRequest, reply: FastifyReply): { readonly socket: Duplex; readonly upgrade: boolean } {
  reply.hijack();
  forgetBody(request.raw);
  const { socket } = request.raw;
  const upgrade = upgraded.has(request.raw);
  reply.raw.detachSocket(socket);
  if (upgrade) return { socket, upgrade };
  // The server's own listeners feed its parser, and close the socket when the client closes its half. A listener for `data` makes
  // Node read in JavaScript again, where these are.
  for (const event of ['data', 'end', 'drain', 'timeout', 'error']) socket.removeAllListeners(event);
  socket.on('error', () => socket.destroy());
  socket.setTimeout(0);
  return { socket, upgrade };
}
