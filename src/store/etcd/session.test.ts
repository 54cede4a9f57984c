/** Our gRPC against the server of the gRPC project's own library for Node, and against servers that do what none should. */
import assert from 'node:assert/strict';
import { createServer as createHttp2, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer as createTcp } from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  status,
} from '@grpc/grpc-js';
import { bootClock } from '../../base/boot-clock.ts';
import { frame, GRPC, outcome, RpcError, Unframer } from './grpc.ts';
import { openIncoming } from './incoming.ts';
import { Session } from './session.ts';

const PATH = { echo: '/test.Test/Echo', chat: '/test.Test/Chat' } as const;
const NEVER = new AbortController().signal;
const same = (bytes: Buffer): Buffer => bytes;

const open = (port: number, timeoutMs = 5_000): Promise<Session> =>
  Session.open({ host: '127.0.0.1', port }, { tls: null, clock: bootClock, timeoutMs }, NEVER);

/** Echo: text that begins with `fail` is an error of that code. Chat: answers each message n with n messages. */
async function grpcServer(): Promise<{ readonly port: number; readonly server: Server } & AsyncDisposable> {
  const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  const shape = { requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same };
  server.addService(
    {
      echo: { path: PATH.echo, requestStream: false, responseStream: false, ...shape },
      chat: { path: PATH.chat, requestStream: true, responseStream: true, ...shape },
    },
    {
      echo: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
        const [word, code = '', details = ''] = call.request.subarray(0, 200).toString().split('|');
        if (word === 'fail') done({ code: Number(code), details });
        else if (word === 'header') done(null, Buffer.from(String(call.metadata.get(code)[0])));
        else if (word !== 'never') done(null, call.request);
      },
      chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (message: Buffer) => {
          const count = Number(message.toString());
          for (let i = 0; i < count; i++) call.write(Buffer.from(`${count}.${i}`.padEnd(5_000)));
          if (count === 0) call.end();
          if (count < 0) call.emit('error', { code: status.OUT_OF_RANGE, details: 'less than nothing' });
        });
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { server, port, [Symbol.asyncDispose]: async () => server.forceShutdown() };
}

const fails =
  (code: number, text: RegExp, reached: boolean) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof RpcError, String(error));
    assert.match(error.message, text);
    assert.deepEqual([error.code, error.reached], [code, reached]);
    return true;
  };

test('calls: empty, small, larger than every window, many at once', async () => {
  await using server = await grpcServer();
  const session = await open(server.port);
  const echo = (message: Buffer): Promise<Buffer> => session.unary(PATH.echo, message, { headers: {}, timeoutMs: 10_000 });
  for (const size of [0, 1, 16_384, 3_000_000])
    assert.ok((await echo(Buffer.alloc(size, 'x'))).equals(Buffer.alloc(size, 'x')), String(size));
  const texts = Array.from({ length: 300 }, (_, i) => `message ${i}`);
  const answers = await Promise.all(texts.map((text) => echo(Buffer.from(text))));
  assert.deepEqual(answers.map(String), texts);
  const headers = { token: 'secret' };
  assert.equal(String(await session.unary(PATH.echo, Buffer.from('header|token'), { headers, timeoutMs: 5_000 })), 'secret');
  session.destroy('done');
});

test('errors: the code and the words of the server, time-out, unknown method', async () => {
  await using server = await grpcServer();
  const session = await open(server.port);
  const call = (text: string, timeoutMs = 5_000, path: string = PATH.echo): Promise<Buffer> =>
    session.unary(path, Buffer.from(text), { headers: {}, timeoutMs });
  await assert.rejects(
    call('fail|5|lease not found: 100% ü'),
    fails(GRPC.NOT_FOUND, /^127\.0\.0\.1:\d+: lease not found: 100% ü$/, true),
  );
  await assert.rejects(call('never', 50), fails(GRPC.DEADLINE_EXCEEDED, /no answer within 50 ms|deadline/i, true));
  await assert.rejects(call('x', 5_000, '/test.Test/None'), fails(GRPC.UNIMPLEMENTED, /None/, true));
  assert.equal(String(await call('still works')), 'still works');
  const hanging = call('never');
  const ended = assert.rejects(hanging, fails(GRPC.UNAVAILABLE, /gone$/, true));
  session.destroy('gone');
  await ended;
  const other = await open(server.port);
  const split = other.unary(PATH.echo, Buffer.from('x'), { headers: { te: 'gzip' }, timeoutMs: 1_000 });
  await assert.rejects(split, fails(GRPC.UNAVAILABLE, /te|TE/, false));
  assert.equal(other.usable, false, 'what cannot be sent is no use sending again');
  await assert.rejects(call('late'), fails(GRPC.UNAVAILABLE, /gone$/, false));
});

test('a call in both directions: many messages for a slow reader, its end, its error, its cancellation', async () => {
  await using server = await grpcServer();
  const session = await open(server.port);
  const chat = (): ReturnType<typeof openIncoming> => openIncoming(session, { path: PATH.chat, headers: {} }, NEVER);
  {
    using incoming = chat();
    incoming.send(Buffer.from('500'));
    const seen: string[] = [];
    for await (const message of incoming.messages) {
      seen.push(message.toString().trim());
      if (seen.length % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
      if (seen.length === 500) incoming.send(Buffer.from('0'));
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 500 }, (_, i) => `500.${i}`),
    );
  }
  {
    using incoming = chat();
    incoming.send(Buffer.from('2'));
    incoming.send(Buffer.from('-1'));
    const seen: string[] = [];
    await assert.rejects(
      async () => {
        for await (const message of incoming.messages) seen.push(message.toString().trim());
      },
      fails(GRPC.OUT_OF_RANGE, /less than nothing/, true),
    );
    assert.deepEqual(seen, ['2.0', '2.1']);
  }
  {
    const stop = new AbortController();
    using incoming = openIncoming(session, { path: PATH.chat, headers: {} }, stop.signal);
    setTimeout(() => stop.abort(), 20);
    await assert.rejects(
      async () => {
        for await (const message of incoming.messages) assert.fail(String(message));
      },
      fails(GRPC.CANCELLED, /given up/, true),
    );
  }
  session.destroy('done');
});

test('thousands of calls that fail, end early, or are given up at any moment leave Node whole', async () => {
  await using server = await grpcServer();
  const talk = async (session: Session, nth: number): Promise<void> => {
    using incoming = openIncoming(session, { path: PATH.chat, headers: {} }, AbortSignal.timeout(50));
    incoming.send(Buffer.from('1'));
    for await (const _message of incoming.messages) {
      if (nth % 3 === 0) break;
      incoming.send(Buffer.from(String((nth % 3) - 2)));
    }
  };
  for (let round = 0; round < 60; round++) {
    const session = await open(server.port);
    for (let k = 0; k < 4; k++) {
      const calls = Array.from({ length: 20 }, (_, i) => {
        const path = i % 3 === 0 ? '/test.Test/None' : PATH.echo;
        return session.unary(path, Buffer.from(i % 2 === 0 ? 'fail|5|no' : 'x'), {
          headers: {},
          timeoutMs: i % 7 === 0 ? 1 : 5_000,
        });
      });
      const talks = Array.from({ length: 10 }, (_, i) => talk(session, i));
      if (k === 3 && round % 2 === 0) session.destroy('in the middle of it');
      if (k === 2 && round % 3 === 0) session.retire('to be left');
      const outcomes = await Promise.allSettled([...calls, ...talks]);
      for (const one of outcomes) if (one.status === 'rejected') assert.ok(one.reason instanceof RpcError, String(one.reason));
    }
    session.destroy('done');
  }
});

test('a server that goes away politely finishes what it has, and gets nothing new', async () => {
  await using server = await grpcServer();
  const session = await open(server.port);
  using incoming = openIncoming(session, { path: PATH.chat, headers: {} }, NEVER);
  incoming.send(Buffer.from('1'));
  const reader = incoming.messages[Symbol.asyncIterator]();
  assert.equal(String((await reader.next()).value).trim(), '1.0');
  const down = new Promise<void>((resolve) => server.server.tryShutdown(() => resolve()));
  while (session.usable) await new Promise((resolve) => setTimeout(resolve, 5));
  await assert.rejects(
    session.unary(PATH.echo, Buffer.from('x'), { headers: {}, timeoutMs: 1_000 }),
    fails(GRPC.UNAVAILABLE, /going away/, false),
  );
  incoming.send(Buffer.from('0'));
  assert.equal((await reader.next()).done, true);
  await down;
});

test('no server, a silent one, one that speaks something else', async () => {
  const silent = createTcp().listen(0, '127.0.0.1');
  const http1 = createTcp((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1');
  await Promise.all([once(silent, 'listening'), once(http1, 'listening')]);
  const portOf = (server: ReturnType<typeof createTcp>): number => (server.address() as AddressInfo).port;
  const port = portOf(silent);
  const sockets: { destroy(): unknown }[] = [];
  silent.on('connection', (socket) => sockets.push(socket));
  try {
    await assert.rejects(open(port, 50), fails(GRPC.UNAVAILABLE, /no answer within 50 ms/, false));
    await assert.rejects(open(portOf(http1)), fails(GRPC.UNAVAILABLE, /^127\.0\.0\.1:\d+: ./, false));
    const aborted = Session.open(
      { host: '127.0.0.1', port },
      { tls: null, clock: bootClock, timeoutMs: 5_000 },
      AbortSignal.timeout(20),
    );
    await assert.rejects(aborted, fails(GRPC.UNAVAILABLE, /given up/, false));
  } finally {
    for (const socket of sockets) socket.destroy();
    silent.close();
    http1.close();
  }
  await assert.rejects(open(port), fails(GRPC.UNAVAILABLE, /ECONNREFUSED/, false));
});

/** What a broken server, or a proxy in front of it, does with a call. */
const BROKEN: readonly (readonly [name: string, act: (stream: ServerHttp2Stream) => void, expected: ReturnType<typeof fails>])[] =
  [
    [
      'an error page',
      (stream) => (stream.respond({ ':status': 503 }), stream.end('busy')),
      fails(GRPC.UNAVAILABLE, /HTTP status 503/, true),
    ],
    [
      'no trailers',
      (stream) => (stream.respond({ ':status': 200 }), stream.end(frame(Buffer.from('x')))),
      fails(GRPC.UNAVAILABLE, /cut off/, true),
    ],
    ['a reset', (stream) => stream.close(2), fails(GRPC.UNAVAILABLE, /INTERNAL_ERROR/, true)],
    ['a refusal', (stream) => stream.close(7), fails(GRPC.UNAVAILABLE, /REFUSED_STREAM/, false)],
    ['a hung up connection', (stream) => stream.session?.destroy(), fails(GRPC.UNAVAILABLE, /./, true)],
    [
      'only trailers',
      (stream) => stream.respond({ ':status': 200, 'grpc-status': '9', 'grpc-message': 'no%20way%' }, { endStream: true }),
      fails(GRPC.FAILED_PRECONDITION, /no%20way%$/, true),
    ],
    [
      'half a message',
      (stream) => trailers(stream, Buffer.from([0, 0, 0, 0, 9, 1])),
      fails(GRPC.UNAVAILABLE, /an answer that is cut/, true),
    ],
    ['no message', (stream) => trailers(stream, Buffer.alloc(0)), fails(GRPC.INTERNAL, /without content/, true)],
    [
      'a compressed message',
      (stream) => trailers(stream, Buffer.from([1, 0, 0, 0, 0])),
      fails(GRPC.INTERNAL, /compressed/, true),
    ],
    [
      'a message that is too large',
      (stream) => trailers(stream, Buffer.from([0, 255, 0, 0, 0])),
      fails(GRPC.INTERNAL, /4278190080 bytes/, true),
    ],
  ];

function trailers(stream: ServerHttp2Stream, body: Buffer): void {
  stream.respond({ ':status': 200 }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(body);
}

for (const [name, act, expected] of BROKEN) {
  test(`a server that answers with ${name}`, async () => {
    const server = createHttp2();
    server.on('sessionError', () => {});
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => {});
      act(stream);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const session = await open((server.address() as AddressInfo).port);
    try {
      await assert.rejects(session.unary('/x', Buffer.from('x'), { headers: {}, timeoutMs: 5_000 }), expected);
    } finally {
      session.destroy('done');
      server.close();
    }
  });
}

test('messages come out whole, however they are cut', () => {
  const texts = ['', 'a', 'b'.repeat(300), '', 'c'.repeat(70_000)];
  const all = Buffer.concat(texts.map((text) => frame(Buffer.from(text))));
  for (const size of [1, 2, 4, 5, 6, 7, 1_000, all.length]) {
    const unframer = new Unframer();
    const out: string[] = [];
    for (let at = 0; at < all.length; at += size) out.push(...unframer.push(all.subarray(at, at + size)).map(String));
    assert.deepEqual(out, texts, String(size));
    assert.equal(unframer.partial, false);
  }
});

test('an outcome is what the trailers say', () => {
  assert.equal(outcome({}), null);
  assert.equal(outcome({ 'grpc-status': '0' }), 'ok');
  const error = outcome({ 'grpc-status': 'x', 'grpc-message': 'a%C3%BC' });
  assert.ok(error instanceof RpcError);
  assert.deepEqual([error.code, error.message], [GRPC.UNKNOWN, 'aü']);
});
