import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, parse } from './http.ts';

test('an answer is whole when its last byte is there, and not before', () => {
  const answers = [
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 200, 'hello'],
    [
      'HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\na\r\n 123456789\r\n0\r\n\r\n',
      201,
      'hello 123456789',
    ],
    ['HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n', 204, ''],
    ['HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n', 409, ''],
  ] as const;
  for (const [text, status, body] of answers) {
    const bytes = Buffer.from(text);
    for (let length = 0; length < bytes.length; length++)
      assert.equal(parse(bytes.subarray(0, length)), null, `${length} of ${text}`);
    const answer = parse(bytes);
    assert.equal(answer?.status, status);
    assert.equal(answer.body.toString(), body);
  }
});

test('calls at once and in a row, over kept connections, of a server that keeps and one that ends them', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'bench-http-'));
  const path = join(folder, 'socket');
  let connections = 0;
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => (text += part));
    request.on('end', () => {
      if (request.url === '/close') response.setHeader('connection', 'close');
      if (request.url === '/bad') response.statusCode = 404;
      response.write(JSON.stringify({ method: request.method, url: request.url, text }));
      response.end();
    });
  });
  server.on('connection', () => connections++);
  await new Promise<void>((done) => server.listen(path, done));
  try {
    using client = new Client(path);
    const both = await Promise.all([client.call('POST', '/a', { x: 1 }), client.call('GET', '/b')]);
    assert.deepEqual(
      both.map((answer) => answer.json()),
      [
        { method: 'POST', url: '/a', text: '{"x":1}' },
        { method: 'GET', url: '/b', text: '' },
      ],
    );
    await client.call('DELETE', '/c');
    assert.equal(connections, 2);
    await client.call('GET', '/close');
    await client.call('POST', '/d', Buffer.from('tar'));
    await assert.rejects(client.call('GET', '/bad'), /^Error: GET \/bad: 404 \{"method":"GET"/);
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  }
});
