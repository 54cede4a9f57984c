/** The connection to the daemon: one request a connection, over a UNIX socket or TCP. */
import { createConnection, type NetConnectOpts, type Socket } from 'node:net';
import { invalid, MoorError } from '../../base/errors.ts';
import { refusal } from '../../cli/api.ts';
import type { HttpAnswer, HttpPort, HttpRequest } from '../../cli/ports.ts';
import { ResponseParser } from './response.ts';

/** @param address `unix:///path` or `tcp://host:port` @throws invalid */
export function createHttpClient(address: string): HttpPort {
  const target = parseAddress(address);
  return {
    send: async (request, signal) => {
      let status = 0;
      const body: Buffer[] = [];
      for await (const part of exchange({ target, address, request }, signal)) {
        status = part.status;
        body.push(part.bytes);
      }
      return { status, body: Buffer.concat(body).toString('utf8') } satisfies HttpAnswer;
    },
    lines: async function* (path, signal) {
      let rest = '';
      let status = 200;
      const decoder = new TextDecoder();
      for await (const part of exchange({ target, address, request: { method: 'GET', path } }, signal)) {
        status = part.status;
        rest += decoder.decode(part.bytes, { stream: true });
        if (status !== 200) continue;
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        yield* lines;
      }
      if (status !== 200) throw refusal({ status, body: rest });
      if (rest !== '') yield rest;
    },
  };
}

function parseAddress(address: string): NetConnectOpts {
  const unix = /^unix:\/\/(\/.+)$/.exec(address);
  if (unix?.[1]) return { path: unix[1] };
  const tcp = /^(?:tcp|http):\/\/(\[[0-9a-fA-F:.]+\]|[^/:]+):(\d{1,5})\/?$/.exec(address);
  if (tcp?.[1] && tcp[2]) return { host: tcp[1].replace(/^\[|\]$/g, ''), port: Number(tcp[2]) };
  throw invalid(`unable to parse the daemon's address ${address}: it should be unix:///PATH or tcp://HOST:PORT`);
}

interface Exchange {
  readonly target: NetConnectOpts;
  readonly address: string;
  readonly request: HttpRequest;
}

interface Part {
  readonly status: number;
  readonly bytes: Buffer;
}

/** Parts of the answer's body as they come; at least one, so that the status is known. */
async function* exchange({ target, address, request }: Exchange, signal?: AbortSignal): AsyncGenerator<Part> {
  if (signal?.aborted) throw cancelled(request);
  const socket = createConnection(target);
  const failed = Promise.withResolvers<never>();
  // Whoever does not wait for it at the moment must not be told.
  failed.promise.catch(() => {});
  socket.once('error', (error: NodeJS.ErrnoException) => failed.reject(connectError(error, address)));
  const onAbort = (): void => failed.reject(cancelled(request));
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer =
    request.timeoutMs === undefined ? null : setTimeout(() => failed.reject(timeoutError(request)), request.timeoutMs);
  try {
    socket.write(requestText(request));
    const parser = new ResponseParser();
    const chunks = read(socket);
    for (;;) {
      const next = await Promise.race([chunks.next(), failed.promise]);
      if (next.done) parser.end();
      else for (const bytes of parser.push(next.value)) yield { status: parser.status, bytes };
      if (parser.complete) {
        yield { status: parser.status, bytes: Buffer.alloc(0) };
        return;
      }
    }
  } finally {
    if (timer) clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}

async function* read(socket: Socket): AsyncGenerator<Buffer, undefined> {
  try {
    for await (const chunk of socket) yield chunk as Buffer;
  } catch {
    // Reported through the 'error' event, with its code.
    await new Promise(() => {});
  }
}

function requestText({ method, path, body }: HttpRequest): string {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = [
    `${method} ${path} HTTP/1.1`,
    'Host: moor',
    'User-Agent: moor',
    'Connection: close',
    ...(body === undefined ? [] : ['Content-Type: application/json']),
    ...(body === undefined && method !== 'POST' ? [] : [`Content-Length: ${Buffer.byteLength(text)}`]),
  ];
  return `${headers.join('\r\n')}\r\n\r\n${text}`;
}

const cancelled = ({ method, path }: HttpRequest): MoorError =>
  new MoorError('cancelled', `Cannot ${method} ${path}: interrupted`);

const timeoutError = ({ method, path, timeoutMs }: HttpRequest): MoorError =>
  new MoorError('timeout', `Cannot ${method} ${path}: no answer after ${timeoutMs} ms`);

const HOW_TO_START = "start it as root with 'moor daemon', or name its address with --host or MOOR_HOST";

function connectError(error: NodeJS.ErrnoException, address: string): MoorError {
  const why: Readonly<Record<string, string>> = {
    ENOENT: `it does not run: ${HOW_TO_START}`,
    ECONNREFUSED: `it does not run: ${HOW_TO_START}`,
    EACCES: 'permission denied: its socket is for root and its group',
  };
  const state = why[error.code ?? ''] ?? error.message;
  return new MoorError(
    error.code === 'EACCES' ? 'forbidden' : 'unavailable',
    `Cannot connect to the daemon at ${address}: ${state}`,
    { cause: error },
  );
}
