/** `POST /containers/ID/attach`: a container's streams on the request's own connection. */
import type { Duplex, Readable } from 'node:stream';
import type { Container } from '../../model/container.ts';
import { queryBoolean, queryText } from '../query.ts';
import type { Call, DockerDeps, DockerRoute } from '../route.ts';
import { parseDetachKeys } from '../stream/detach-keys.ts';
import { frame } from '../stream/frames.ts';
import { converse, send } from '../stream/session.ts';
import { containerOf } from './view.ts';

export const ATTACH_ROUTES: readonly DockerRoute[] = [
  {
    method: 'POST',
    path: '/containers/:id/attach',
    body: 'stream',
    summary: 'connect to its streams (the connection is upgraded)',
    handle: attach,
  },
];

export const RAW_STREAM = 'application/vnd.docker.raw-stream';
export const MULTIPLEXED_STREAM = 'application/vnd.docker.multiplexed-stream';

async function attach(deps: DockerDeps, call: Call): Promise<unknown> {
  const { query } = call;
  const container = containerOf(deps, call.parameter('id'), 'attach to');
  const detachKeys = parseDetachKeys(queryText(query, 'detachKeys'));
  const { config, id } = container;
  const wanted = {
    stdin: queryBoolean(query, 'stdin'),
    stdout: queryBoolean(query, 'stdout'),
    stderr: queryBoolean(query, 'stderr'),
  };
  const live = queryBoolean(query, 'stream');
  const streams = live ? await deps.containers.attach(id) : null;

  const { socket, input } = openRaw(deps, call, !config.Tty);
  if (queryBoolean(query, 'logs')) {
    // There is no answer any more that could tell of a failure.
    await replay(deps, { container, socket, wanted }).catch(() => socket.destroy());
  }
  if (streams === null) {
    socket.end();
    return undefined;
  }
  await converse(socket, streams, {
    ...wanted,
    stdin: !wanted.stdin || !config.OpenStdin ? 'ignored' : config.StdinOnce && !config.Tty ? 'closes-input' : 'ends-session',
    multiplexed: !config.Tty,
    detachKeys: config.Tty ? detachKeys : null,
    ...(input === null ? {} : { input }),
    signal: deps.stopping,
  });
  return undefined;
}

/**
 * Answers with the head after which the connection is not HTTP any more.
 * @returns the socket; and the request's body when that is where the client's input comes from (chunked, without `Upgrade`)
 */
export function openRaw(
  { takeSocket, apiVersion }: DockerDeps,
  { request, reply }: Call,
  multiplexed: boolean,
): { readonly socket: Duplex; readonly input: Readable | null } {
  const chunked = request.headers['transfer-encoding'] !== undefined && request.headers.upgrade === undefined;
  if (chunked && !request.raw.complete) {
    // The server goes on reading, as it takes the chunks apart; only the answer is ours.
    reply.hijack();
    const { socket } = request.raw;
    reply.raw.detachSocket(socket);
    socket.write(head(RAW_STREAM));
    return { socket, input: request.raw };
  }
  const { socket, upgrade } = takeSocket(request, reply);
  const type = upgrade && multiplexed && apiVersion(request.raw).minor >= 42 ? MULTIPLEXED_STREAM : RAW_STREAM;
  socket.write(
    upgrade ? `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n` : head(RAW_STREAM),
  );
  return { socket, input: null };
}

const head = (type: string): string => `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\n\r\n`;

interface Replay {
  readonly container: Container;
  readonly socket: Duplex;
  readonly wanted: { readonly stdout: boolean; readonly stderr: boolean };
}

/** What the container has written so far. */
async function replay({ containers, stopping }: DockerDeps, { container, socket, wanted }: Replay): Promise<void> {
  const query = { follow: false, tail: 'all', since: null, until: null } as const;
  for await (const { stream, data } of containers.logs(container.id, query, stopping)) {
    if (socket.destroyed) return;
    if (wanted[stream]) await send(socket, container.config.Tty ? Buffer.from(data) : frame(stream, data));
  }
}
