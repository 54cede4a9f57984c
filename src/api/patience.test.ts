/** Bodies that do not come: refused when nothing moves any more, and only then. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../base/clock.ts';
import { takeSocket } from './hijack.ts';
import { createServer } from './server.ts';

/** Milliseconds; what goes on in a test is ten times as quick. */
const IDLE = 500;
const directory = mkdtempSync('/tmp/moor-patience-');
const app = createServer({ logger: silentLogger, version: '1', patience: { whole: IDLE, stream: IDLE } });
app.post('/echo', async (request) => ({ body: request.body }));
void app.register((streaming, _, done) => {
  streaming.removeAllContentTypeParsers();
  streaming.addContentTypeParser('*', (_request, payload, parsed) => parsed(null, payload));
  streaming.route({
    method: 'POST',
    url: '/slow',
    config: { body: 'stream' },
    handler: async (request) => {
      // As a disk that is busy.
      await sleep(4 * IDLE);
      let size = 0;
      for await (const chunk of request.body as Readable) size += (chunk as Buffer).length;
      return { size };
    },
  });
  streaming.route({
    method: 'POST',
    url: '/attach',
    config: { body: 'stream' },
    handler: async (request, reply) => {
      const { socket } = takeSocket(request, reply);
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      await sleep(4 * IDLE);
      socket.end('still here');
    },
  });
  done();
});
const server = createHttpServer((request, response) => app.routing(request, response));

before(async () => {
  await app.ready();
  server.listen(`${directory}/s`);
  await once(server, 'listening');
});
after(async () => {
  server.closeAllConnections();
  await app.close();
  server.close();
  rmSync(directory, { recursive: true });
});

interface Client {
  readonly socket: Socket;
  readonly answer: Promise<string>;
}

function post(path: string, length: number): Client {
  const socket = connect(`${directory}/s`);
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`,
  );
  return { socket, answer: once(socket, 'close').then(() => text) };
}

test('a body that stops coming is answered 408, and the connection ends', async () => {
  const { socket, answer } = post('/echo', 100);
  socket.write('{"a":');
  assert.match(await answer, /^HTTP\/1\.1 408 .*\{"message":"request body: nothing came for 0\.5 s"\}$/s);
});

test('one that comes slowly is waited for', async () => {
  const text = JSON.stringify({ a: 'x'.repeat(30) });
  const { socket, answer } = post('/echo', text.length);
  for (const letter of text) {
    socket.write(letter);
    await sleep(IDLE / 10);
  }
  assert.match(await answer, /^HTTP\/1\.1 200 /);
});

test('time in which nobody reads it here does not count', async () => {
  const size = 4 << 20;
  const { socket, answer } = post('/slow', size);
  socket.write(Buffer.alloc(size));
  assert.ok((await answer).endsWith(`{"size":${size}}`));
});

test('a connection that is a stream by now may rest', async () => {
  const { answer } = post('/attach', 100);
  assert.match(await answer, /^HTTP\/1\.1 200 OK\r\n\r\nstill here$/);
});
