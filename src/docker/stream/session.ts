/** A client on a socket and a process's streams, connected until one of the two has had enough. */
import type { Duplex, Readable, Writable } from 'node:stream';
import type { Streams } from '../../contracts/containers.ts';
import { detachFilter } from './detach-keys.ts';
import { frameHeader, type StreamName } from './frames.ts';

/** Milliseconds that a client gets to close its half after it has been sent everything. */
const LINGER_MS = 10_000;

export interface SessionOptions {
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** `ignored`, or what the end of the client's input means: the end of the process's input, or of this session. */
  readonly stdin: 'ignored' | 'closes-input' | 'ends-session';
  /** Frames, as nothing else tells stdout from stderr; not with a terminal. */
  readonly multiplexed: boolean;
  /** Keys that detach; null: none do. */
  readonly detachKeys: readonly number[] | null;
  /** Where the client's input comes from when it is not the socket itself: a request's body. */
  readonly input?: Readable;
}

export type SessionEnd = 'ended' | 'detached' | 'gone';

/**
 * Copies in both directions, waiting for whoever is slow. All output has been handed to the socket when it resolves; the socket
 * is closed behind that, and the streams are let go.
 * @param signal aborts when the daemon stops: the session ends, the process goes on
 */
export async function converse(
  socket: Duplex,
  streams: Streams,
  options: SessionOptions & { readonly signal: AbortSignal },
): Promise<SessionEnd> {
  const over = Promise.withResolvers<SessionEnd>();
  const gone = (): void => over.resolve('gone');
  socket.once('close', gone);
  options.signal.addEventListener('abort', gone);
  if (options.signal.aborted) gone();
  const outputs = (['stdout', 'stderr'] as const).map(async (name) => {
    if (options[name]) return copyOut(streams[name], socket, options.multiplexed ? name : null);
    // Read all the same: a full pipe would stop the process, and its end is the session's.
    for await (const _ of streams[name]);
  });
  void Promise.all(outputs).then(
    () => over.resolve('ended'),
    () => gone(),
  );
  const stopInput = copyIn({ from: options.input ?? socket, to: streams.stdin }, options, over.resolve);
  try {
    return await over.promise;
  } finally {
    options.signal.removeEventListener('abort', gone);
    socket.off('close', gone);
    stopInput();
    streams.close();
    finish(socket);
  }
}

/** @param stream its name in frames; null: no frames */
async function copyOut(from: Readable, to: Duplex, stream: StreamName | null): Promise<void> {
  for await (const chunk of from as AsyncIterable<Buffer>) {
    if (to.destroyed) return;
    await send(to, stream === null ? chunk : [frameHeader(stream, chunk.length), chunk]);
  }
}

/** Writes, and waits while the client is slow. Resolves too when it is gone. */
export async function send(to: Writable, data: Buffer | readonly Buffer[]): Promise<void> {
  let room = true;
  to.cork();
  for (const part of Buffer.isBuffer(data) ? [data] : data) room = to.write(part);
  to.uncork();
  if (room || to.destroyed) return;
  await new Promise<void>((done) => {
    const go = (): void => {
      to.off('drain', go);
      to.off('close', go);
      done();
    };
    to.once('drain', go);
    to.once('close', go);
  });
}

interface Input {
  readonly from: Readable;
  readonly to: Writable | null;
}

/** @returns a function that ends the copying */
function copyIn({ from, to }: Input, options: SessionOptions, over: (end: SessionEnd) => void): () => void {
  if (options.stdin === 'ignored' || to === null) {
    // Read all the same: otherwise the end of the connection would not be noticed.
    from.resume();
    return () => {};
  }
  const filter = options.detachKeys === null ? null : detachFilter(options.detachKeys);
  const resume = (): void => void from.resume();
  const data = (chunk: Buffer): void => {
    const { data: rest, detached } = filter === null ? { data: chunk, detached: false } : filter(chunk);
    if (rest.length > 0 && !to.destroyed && !to.write(rest)) from.pause();
    if (detached) over('detached');
  };
  const end = (): void => {
    if (options.stdin === 'closes-input') to.end();
    else over('ended');
  };
  // The process has closed its input, or ended: what else is typed goes nowhere.
  const deaf = (): void => void from.resume();
  to.on('drain', resume);
  to.on('error', deaf);
  to.on('close', deaf);
  from.on('data', data);
  from.on('end', end);
  return () => {
    from.off('data', data);
    from.off('end', end);
    to.off('drain', resume);
  };
}

/**
 * Sends what is left and the end. A UNIX socket that is closed with something unread resets the connection, and the client would
 * lose what it has not read yet: so reading goes on until the client has closed too.
 */
function finish(socket: Duplex): void {
  if (socket.destroyed) return;
  socket.end();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
}
