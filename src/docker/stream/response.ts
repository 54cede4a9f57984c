/** Answers that go on for a while: their head is sent at once, then pieces as they come, at the speed of the client. */
import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { FastifyReply } from 'fastify';
import type { Call, DockerDeps } from '../route.ts';
import { send } from './session.ts';

export interface StreamedAnswer {
  /** Resolves when the client has taken it, or is gone. */
  readonly write: (data: string | Uint8Array) => Promise<void>;
  /** Aborts when the client is gone or the daemon stops. */
  readonly signal: AbortSignal;
}

/** Sends the head without waiting for a body. Nothing can be refused after that. */
export function sendHead(
  reply: FastifyReply,
  contentType: string,
  headers: Readonly<Record<string, string>> = {},
): ServerResponse {
  reply.hijack();
  const { raw } = reply;
  const own = Object.entries(reply.getHeaders()).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  raw.writeHead(200, { ...Object.fromEntries(own), 'content-type': contentType, ...headers });
  raw.flushHeaders();
  return raw;
}

/** Ends the answer when `produce` has. What it throws after the client has gone is of no interest to anybody. */
export async function stream(
  { stopping }: Pick<DockerDeps, 'stopping'>,
  { reply }: Call,
  options: {
    readonly contentType: string;
    readonly produce: (answer: StreamedAnswer) => Promise<void>;
    /** Last words after a failure; without them the connection is cut, which no client takes for an end. */
    readonly failure?: (error: unknown) => string;
  },
): Promise<undefined> {
  const raw = sendHead(reply, options.contentType);
  const gone = new AbortController();
  raw.once('close', () => gone.abort());
  if (raw.destroyed) gone.abort();
  const signal = AbortSignal.any([gone.signal, stopping]);
  try {
    await options.produce({
      write: (data) => send(raw, Buffer.from(data as Uint8Array)),
      signal,
    });
    raw.end();
  } catch (error) {
    if (signal.aborted) raw.end();
    else if (options.failure) raw.end(options.failure(error));
    else raw.destroy();
  }
  return undefined;
}

/** A tar (or anything else) as it comes. A failure in the middle cuts the connection. */
export async function sendReadable(
  call: Call,
  body: Readable,
  options: { readonly contentType: string; readonly headers?: Readonly<Record<string, string>> },
): Promise<undefined> {
  const raw = sendHead(call.reply, options.contentType, options.headers);
  await pipeline(body, raw).catch(() => {});
  return undefined;
}
