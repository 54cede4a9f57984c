import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { silentLogger } from '../base/clock.ts';
import { type ErrorKind, MoorError } from '../base/errors.ts';
import { HTTP_STATUS } from '../base/http.ts';
import { createServer, refuseBytes } from './server.ts';

let app: FastifyInstance;
let server: Server;
let directory: string;
const BODY_SCHEMA = {
  type: 'object',
  properties: { size: { type: 'integer' } },
  required: ['size'],
  additionalProperties: false,
};

/** What has been asked for, when it began and when it was done. */
const turns: string[] = [];

before(async () => {
  directory = mkdtempSync('/tmp/moor-api-');
  app = createServer({ logger: silentLogger, version: '1.2.3' });
  app.get('/_ping', async () => 'OK');
  app.get<{ Params: { kind: ErrorKind } }>('/fail/:kind', async ({ params }) => {
    throw new MoorError(params.kind, `no ${params.kind}`);
  });
  app.get('/broken', async () => {
    throw new TypeError('x is undefined');
  });
  app.get('/name/:name', async ({ params }) => params);
  app.post<{ Params: { name: string } }>('/slow/:name', async ({ params, body }) => {
    turns.push(`begin ${params.name}`);
    await sleep(20);
    turns.push(`end ${params.name}`);
    return { body };
  });
  app.post('/echo', async (request) => ({ body: request.body ?? null }));
  app.post('/moor/typed', { schema: { body: BODY_SCHEMA } }, async (request) => request.body);
  await app.ready();
  server = createHttpServer((request, response) => app.routing(request, response)).on('clientError', refuseBytes);
  await new Promise<void>((done) => server.listen(`${directory}/sock`, done));
});

after(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

test('with and without a version, and what every answer carries', async () => {
  for (const url of ['/_ping', '/v1.24/_ping', '/v1.41/_ping', '/v1.51/_ping']) {
    const { statusCode, body, headers } = await app.inject({ url });
    assert.equal(statusCode, 200, url);
    assert.equal(body, 'OK');
    assert.equal(headers['api-version'], '1.51');
    assert.equal(headers['docker-experimental'], 'false');
    assert.equal(headers['ostype'], 'linux');
    assert.equal(headers['server'], 'Moorline/1.2.3 (linux)');
  }
});

test('versions out of range get the texts that clients know', async () => {
  const old = await app.inject({ url: '/v1.20/_ping' });
  assert.equal(old.statusCode, 400);
  assert.equal(
    old.body,
    'client version 1.20 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version\n',
  );
  for (const version of ['1.99', '2.0', '99999.1', '2', '1.52.3']) {
    const { statusCode, body } = await app.inject({ url: `/v${version}/_ping` });
    assert.equal(statusCode, 400);
    assert.equal(body, `{"message":"client version ${version} is too new. Maximum supported API version is 1.51"}`);
  }
});

test('requests of one connection are carried out one after the other', async () => {
  turns.length = 0;
  const post = (name: string, more = ''): string =>
    `POST /v1.41/slow/${name} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${more}Content-Length: 3\r\n\r\n"${name}"`;
  const exchange = (text: string): Promise<string> =>
    new Promise((done) => {
      let answer = '';
      const socket = connect(`${directory}/sock`);
      socket.write(text);
      socket
        .setEncoding('utf8')
        .on('data', (chunk: string) => (answer += chunk))
        .on('close', () => done(answer));
    });
  const close = 'Connection: close\r\n';
  const answer = await exchange(`${post('a')}${post('b')}GET /v1.9/_ping HTTP/1.1\r\nHost: x\r\n\r\n${post('c', close)}`);
  assert.deepEqual(turns, ['begin a', 'end a', 'begin b', 'end b', 'begin c', 'end c']);
  assert.deepEqual(answer.match(/HTTP\/1.1 \d+|"\w"/g), [
    ...['HTTP/1.1 200', '"a"', 'HTTP/1.1 200', '"b"'],
    ...['HTTP/1.1 400', 'HTTP/1.1 200', '"c"'],
  ]);
});

test('unknown paths and methods', async () => {
  for (const [method, url] of [
    ['GET', '/nope'],
    ['GET', '/v1.41/nope'],
    ['GET', '/v1.99/nope'],
    ['GET', '/v/_ping'],
    ['DELETE', '/_ping'],
    ['POST', '/nope'],
  ] as const) {
    const { statusCode, body } = await app.inject({ method, url });
    assert.equal(statusCode, 404, url);
    assert.equal(body, '{"message":"page not found"}');
  }
});

test('the log has what is wrong with the daemon, and not what users get wrong', async () => {
  const lines: string[] = [];
  const logger = {
    ...silentLogger,
    warn: (_: object, message: string): void => void lines.push(`warn ${message}`),
    error: (_: object, message: string): void => void lines.push(`error ${message}`),
  };
  const logging = createServer({ logger, version: '1.2.3' });
  logging.get<{ Params: { kind: ErrorKind } }>('/fail/:kind', async ({ params }) => {
    throw new MoorError(params.kind, `no ${params.kind}`);
  });
  logging.get('/full', async () => {
    throw new MoorError('exhausted', 'no space', { kernel: { operation: 'write', errno: 28, code: 'ENOSPC' } });
  });
  for (const kind of Object.keys(HTTP_STATUS)) await logging.inject(`/fail/${kind}`);
  await logging.inject('/full');
  await logging.close();
  assert.deepEqual(lines, [
    'warn GET /fail/exhausted: no exhausted',
    'warn GET /fail/unavailable: no unavailable',
    'warn GET /fail/timeout: no timeout',
    'error GET /fail/internal: no internal',
    'error GET /full: no space',
  ]);
});

test('kinds of error are statuses; an unexpected error keeps its text and is 500', async () => {
  for (const [kind, status] of Object.entries(HTTP_STATUS)) {
    const { statusCode, body } = await app.inject({ url: `/fail/${kind}` });
    assert.equal(statusCode, status, kind);
    assert.equal(body, JSON.stringify({ message: `no ${kind}` }));
  }
  const broken = await app.inject({ url: '/broken' });
  assert.equal(broken.statusCode, 500);
  assert.equal(broken.body, '{"message":"x is undefined"}');
});

const JSON_TYPE = { 'content-type': 'application/json' };

test('bodies', async () => {
  const post = (payload: string, headers: Record<string, string>) =>
    app.inject({ method: 'POST', url: '/v1.41/echo', payload, headers });
  assert.equal((await app.inject({ method: 'POST', url: '/echo' })).body, '{"body":null}', 'a body is optional');
  assert.equal((await post('', { 'content-type': 'text/plain', 'content-length': '0' })).body, '{"body":null}', 'of any type');
  assert.equal((await post('{"a":[null]}', JSON_TYPE)).body, '{"body":{"a":[null]}}');
  assert.equal((await post('null', { 'content-type': 'Application/JSON; charset=utf-8' })).body, '{"body":null}');
  for (const [payload, headers, message] of [
    ['{', JSON_TYPE, /^invalid JSON: /],
    ['not json', JSON_TYPE, /^invalid JSON: /],
    [' ', JSON_TYPE, /^invalid JSON: got EOF while reading request body$/],
    [
      '{"__proto__":{"a":1}}',
      { 'content-type': 'text/plain' },
      /^unsupported Content-Type header \(text\/plain\): must be 'application\/json'$/,
    ],
    ['{}', {}, /^malformed Content-Type header/],
    ['{}', { 'content-type': '///' }, /^malformed Content-Type header/],
  ] as const) {
    const answer = await post(payload, headers);
    assert.equal(answer.statusCode, 400, payload);
    assert.match((JSON.parse(answer.body) as { message: string }).message, message);
  }
});

test('a schema says which field, and our own paths name the kind', async () => {
  for (const [payload, message] of [
    ['{}', 'invalid request body: field "size" is missing'],
    ['{"size":"1"}', 'invalid request body: size: expected integer, got string'],
    ['{"size":1,"sise":2}', 'invalid request body: unknown field "sise"'],
  ] as const) {
    const { statusCode, body } = await app.inject({ method: 'POST', url: '/moor/typed', payload, headers: JSON_TYPE });
    assert.equal(statusCode, 400);
    assert.deepEqual(JSON.parse(body), { message, kind: 'invalid' });
  }
});

test('path parameters: long ones, encoded slashes, bad encoding', async () => {
  const long = 'n'.repeat(4096);
  assert.equal((await app.inject({ url: `/name/${long}` })).body, JSON.stringify({ name: long }));
  assert.equal((await app.inject({ url: '/name/a%2Fb' })).body, '{"name":"a/b"}');
  const bad = await app.inject({ url: '/name/%zz' });
  assert.equal(bad.statusCode, 400);
  assert.deepEqual(JSON.parse(bad.body), { message: 'malformed URL: bad percent-encoding' });
});

/** Writes what it is given, whether or not the other side has answered, and returns the answer. */
function talk(head: string, bodySize: number): Promise<string> {
  return new Promise((done, fail) => {
    const socket = connect(`${directory}/sock`);
    const chunk = Buffer.alloc(1 << 16, 'x');
    let answer = '';
    let left = bodySize;
    const pump = (): void => {
      while (left > 0) {
        left -= chunk.length;
        if (!socket.write(chunk)) return;
      }
      socket.end();
    };
    socket.setEncoding('utf8');
    socket.on('drain', pump);
    socket.on('data', (text: string) => (answer += text));
    socket.on('error', fail);
    socket.on('close', () => done(answer));
    socket.write(head);
    pump();
  });
}

test('a body of 100 MB is refused while it is still being sent, is not kept, and its sender can read why', async () => {
  const size = 100 << 20;
  for (const framing of [`Content-Length: ${size}`, 'Transfer-Encoding: chunked']) {
    const start = framing.startsWith('T') ? `${size.toString(16)}\r\n` : '';
    const answer = await talk(
      `POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${framing}\r\n\r\n${start}`,
      size,
    );
    assert.match(answer, /^HTTP\/1\.1 413 /);
    assert.ok(answer.endsWith('{"message":"request body too large: at most 1 MiB is accepted"}'), answer);
  }
});

test('bytes that are no HTTP get a 400', async () => {
  const answer = await talk('garbage\r\n\r\n', 0);
  assert.match(answer, /^HTTP\/1\.1 400 .*\{"message":"malformed HTTP request"\}$/s);
});

test('who changes the kernel is told of such a request before its body is there, and of no other', async () => {
  let told = 0;
  const own = createServer({ logger: silentLogger, version: '1.2.3', changing: () => told++ });
  own.post('/changes', { config: { kernel: true } }, async () => told);
  own.post('/reads', async () => told);
  assert.equal(
    (await own.inject({ method: 'POST', url: '/changes', headers: { 'content-type': 'text/html' }, payload: 'x' })).statusCode,
    400,
  );
  assert.equal(told, 1);
  assert.equal((await own.inject({ method: 'POST', url: '/v1.41/changes' })).body, '2');
  assert.equal((await own.inject({ method: 'POST', url: '/reads' })).body, '2');
  assert.equal((await own.inject({ method: 'POST', url: '/nowhere' })).statusCode, 404);
  assert.equal(told, 2);
});
