/** The HTTP frame that Docker's paths and our own share: versions, headers, bodies, errors. Routes are registered by `main`. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from '../base/clock.ts';
import { invalid } from '../base/errors.ts';
import { failureOf, levelOf } from './failure.ts';
import { isUpgraded } from './hijack.ts';
import { toJson } from './json.ts';
import { PATIENCE, type Patience, watchBody } from './patience.ts';
import { inTurn } from './pipeline.ts';
import { type Schema, validate } from './schema.ts';
import { apiVersionOf, checkVersion, isOlder, MAX_API_VERSION, MIN_API_VERSION, stripVersion, versionText } from './version.ts';

export interface ServerOptions {
  readonly logger: Logger;
  /** Our own version, for the `Server` header. */
  readonly version: string;
  readonly patience?: Patience;
  /** Called when the head of a request is there whose route says that it changes the kernel (`config.kernel`): before its body is read. */
  readonly changing?: () => void;
}

const JSON_TYPE = 'application/json';
/** bytes. A network with thousands of labels is far below. */
const BODY_LIMIT = 1 << 20;
/** Longest path parameter in bytes: beyond any name that we accept, so that the error is about the name. Node limits the head to 16 KiB. */
const MAX_PARAMETER = 16 << 10;
/** How long we go on discarding a body that was refused, in milliseconds, so that its sender can read the answer. */
const LINGER_MS = 10_000;

export function createServer({ logger, version, patience = PATIENCE, changing }: ServerOptions): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: BODY_LIMIT,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: MAX_PARAMETER, ignoreTrailingSlash: false },
    rewriteUrl: (request) => stripVersion(request),
    schemaController: { compilersFactory: { buildValidator: notLoaded, buildSerializer: notLoaded } },
    frameworkErrors: (error, request, reply) => {
      answerFailure(error, request, reply);
    },
  });

  app.setValidatorCompiler(validatorOf);
  app.setSerializerCompiler(() => toJson);
  readBodies(app);
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers({
      'api-version': versionText(MAX_API_VERSION),
      'docker-experimental': 'false',
      ostype: 'linux',
      server: `Moorline/${version} (linux)`,
    });
    const { body, kernel } = request.routeOptions.config as { readonly body?: 'stream'; readonly kernel?: true };
    if (kernel === true) changing?.();
    if (!request.is404) checkVersion(apiVersionOf(request.raw));
    inTurn(request.raw, reply.raw, () => {
      // Of a request to upgrade the body is no message of HTTP's.
      if (!isUpgraded(request.raw)) watchBody(request.raw, reply.raw, body === 'stream' ? patience.stream : patience.whole);
      done();
    });
  });
  // Docker's client compares the whole value when it reads an error; fastify adds a charset, which JSON does not have (RFC 8259).
  app.addHook('onSend', async (_, reply, payload) => {
    if (reply.getHeader('content-type') === 'application/json; charset=utf-8') reply.header('content-type', JSON_TYPE);
    return payload;
  });
  app.addHook('onResponse', (request, reply, done) => {
    logger.debug(
      { method: request.method, url: request.originalUrl, status: reply.statusCode, ms: Math.round(reply.elapsedTime) },
      'request',
    );
    done();
  });
  app.setNotFoundHandler((_, reply) => reply.code(404).send({ message: 'page not found' }));
  app.setErrorHandler((error, request, reply) => {
    const level = levelOf(error);
    if (level !== null) {
      const { kind, message } = failureOf(error);
      const stack = kind === 'internal' && error instanceof Error ? { stack: error.stack } : {};
      logger[level](stack, `${request.method} ${request.originalUrl}: ${message}`);
    }
    answerFailure(error, request, reply);
  });
  return app;
}

/** In the place of ajv and fast-json-stringify, which fastify would load: 8 MB for a dozen plain schemas. */
const notLoaded = (): never => {
  throw new Error('the compilers of schemas are set on the instance');
};

function validatorOf({ schema }: { readonly schema: unknown }): (value: unknown) => { error: Error } | { value: unknown } {
  return (value) => {
    try {
      validate(schema as Schema, value);
      return { value };
    } catch (error) {
      return { error: error as Error };
    }
  };
}

/** Docker takes JSON and no other type; a body is optional. The texts are those of moby's `httputils`. */
function readBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => {
    try {
      done(null, parseBody(request.headers['content-type'], body as string));
    } catch (error) {
      done(error as Error);
    }
  });
}

function parseBody(contentType: string | undefined, body: string): unknown {
  // No body at all needs no type; Docker's client says text/plain then.
  if (body === '') return undefined;
  const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (type === '') throw invalid(`malformed Content-Type header (${contentType ?? ''}): mime: no media type`);
  if (type !== 'application/json') {
    throw invalid(`unsupported Content-Type header (${contentType}): must be 'application/json'`);
  }
  if (body.trim() === '') throw invalid('invalid JSON: got EOF while reading request body');
  try {
    return JSON.parse(body) as unknown;
  } catch (error) {
    throw invalid(`invalid JSON: ${(error as SyntaxError).message}`);
  }
}

function answerFailure(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const failure = failureOf(error);
  const version = apiVersionOf(request.raw);
  if (failure.status === 413) linger(request.raw.socket);
  reply.code(failure.status);
  if (isOlder(version, MIN_API_VERSION)) {
    // Clients as old as that print the body as it is.
    reply.type('text/plain; charset=utf-8').send(`${failure.message}\n`);
  } else if (request.originalUrl.startsWith('/moor/')) {
    reply.send({ message: failure.message, kind: failure.kind });
  } else {
    reply.send({ message: failure.message });
  }
}

/**
 * A client that is still sending a body we refused would see its connection reset, and not our answer, if we closed at once
 * (RFC 9112 section 9.6). So the socket stays open for reading for a while and what comes is dropped, not kept.
 */
function linger(socket: Socket): void {
  const destroySoon = socket.destroySoon.bind(socket);
  socket.destroySoon = () => {
    socket.end();
    socket.resume();
    const timer = setTimeout(() => destroySoon(), LINGER_MS);
    socket.once('end', () => destroySoon());
    socket.once('close', () => clearTimeout(timer));
  };
}

/** For a server's `clientError`: bytes that are no HTTP request, so that there is no request object to answer. */
export function refuseBytes(error: Error & { readonly code?: string }, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'request header too large']
      : ['400 Bad Request', 'malformed HTTP request'];
  const body = JSON.stringify({ message });
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}
