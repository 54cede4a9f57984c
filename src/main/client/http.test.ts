/** Against Node's own HTTP server on a UNIX socket. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { describe, it } from 'node:test';
import { createHttpClient } from './http.ts';

async function serve(listener: RequestListener) {
  const directory = mkdtempSync('/tmp/moor-http-');
  const server = createServer(listener);
  await new Promise<void>((done) => server.listen(`${directory}/s`, done));
  return {
    address: `unix://${directory}/s`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
      rmSync(directory, { recursive: true });
    },
  };
}

describe('send', () => {
  it('sends what it is given and reads the answer', async () => {
    await using server = await serve((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        response.statusCode = 201;
        response.write('{"echo":');
        response.end(`${JSON.stringify([request.method, request.url, request.headers['content-type'] ?? null, body])}}`);
      });
    });
    const client = createHttpClient(server.address);
    const echo = async (request: Parameters<typeof client.send>[0]) => {
      const { status, body } = await client.send(request);
      assert.equal(status, 201);
      return (JSON.parse(body) as { readonly echo: unknown }).echo;
    };
    assert.deepEqual(await echo({ method: 'GET', path: '/a?b=%20' }), ['GET', '/a?b=%20', null, '']);
    assert.deepEqual(await echo({ method: 'POST', path: '/x' }), ['POST', '/x', null, '']);
    assert.deepEqual(await echo({ method: 'POST', path: '/x', body: { ü: '日本' } }), [
      'POST',
      '/x',
      'application/json',
      '{"ü":"日本"}',
    ]);
    const big = 'x'.repeat(3_000_000);
    const [, , , body] = (await echo({ method: 'POST', path: '/x', body: big })) as readonly string[];
    assert.equal(body?.length, big.length + 2);
  });

  it('gives up after its time, or when told to', async () => {
    await using server = await serve(() => {});
    const client = createHttpClient(server.address);
    await assert.rejects(client.send({ method: 'GET', path: '/x', timeoutMs: 20 }), {
      kind: 'timeout',
      message: 'Cannot GET /x: no answer after 20 ms',
    });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 20);
    await assert.rejects(client.send({ method: 'GET', path: '/x' }, controller.signal), { kind: 'cancelled' });
    await assert.rejects(client.send({ method: 'GET', path: '/x' }, AbortSignal.abort()), { kind: 'cancelled' });
  });

  it('says why nobody answers, and what to do', async () => {
    const missing = createHttpClient('unix:///tmp/moor-no-such.sock');
    await assert.rejects(missing.send({ method: 'GET', path: '/' }), {
      kind: 'unavailable',
      message:
        "Cannot connect to the daemon at unix:///tmp/moor-no-such.sock: it does not run: start it as root with 'moor daemon', or name its address with --host or MOOR_HOST",
    });
    await using server = await serve((request) => request.socket.destroy());
    await assert.rejects(createHttpClient(server.address).send({ method: 'GET', path: '/' }), { kind: 'unavailable' });
  });

  it('speaks TCP as well', async () => {
    const server = createTcpServer((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    try {
      const { port } = server.address() as { readonly port: number };
      assert.deepEqual(await createHttpClient(`tcp://127.0.0.1:${port}`).send({ method: 'GET', path: '/' }), {
        status: 200,
        body: 'ok',
      });
    } finally {
      server.close();
    }
  });

  it('refuses an address it does not understand', () => {
    for (const address of ['', 'moor.sock', 'unix://relative', 'tcp://host', 'ssh://host:22']) {
      assert.throws(() => createHttpClient(address), { kind: 'invalid' }, address);
    }
  });
});

describe('lines', () => {
  it('come as they are written, whole', async () => {
    await using server = await serve((_, response) => {
      response.write('{"a":1}\n{"b":');
      setTimeout(() => response.write('"ü'), 10);
      setTimeout(() => response.end('"}\nlast'), 20);
    });
    const lines: string[] = [];
    for await (const line of createHttpClient(server.address).lines('/events')) lines.push(line);
    assert.deepEqual(lines, ['{"a":1}', '{"b":"ü"}', 'last']);
  });
  it('end when told to, and with the refusal of another status', async () => {
    await using server = await serve((request, response) => {
      if (request.url === '/no') response.writeHead(400).end('{"message":"bad filter"}');
      else response.write('one\n');
    });
    const client = createHttpClient(server.address);
    const controller = new AbortController();
    const seen: string[] = [];
    const follow = async () => {
      for await (const line of client.lines('/events', controller.signal)) {
        seen.push(line);
        controller.abort();
      }
    };
    await assert.rejects(follow(), { kind: 'cancelled' });
    assert.deepEqual(seen, ['one']);
    await assert.rejects(client.lines('/no')[Symbol.asyncIterator]().next(), { kind: 'invalid', message: 'bad filter' });
  });
});
