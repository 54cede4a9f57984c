/** A server that answers what no etcd would: nothing of it may end the process, or look like data. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { bootClock } from '../../base/boot-clock.ts';
import { silentLogger } from '../../base/clock.ts';
import { MoorError } from '../../base/errors.ts';
import type { Store } from '../../contracts/store.ts';
import { RANGE, TXN, WATCH } from './api.ts';
import { frame } from './grpc.ts';
import { openEtcdStore } from './store.ts';

interface Liar extends AsyncDisposable {
  readonly store: Store;
  /** The message that answers each call. */
  answer: (path: string) => Uint8Array;
}

async function liar(): Promise<Liar> {
  const server: Http2Server = createServer();
  server.on('sessionError', () => {});
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(frame(made.answer(headers[':path'] ?? '')));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoints = [{ host: '127.0.0.1', port: (server.address() as AddressInfo).port }];
  const store = await openEtcdStore({ endpoints, prefix: '/t', logger: silentLogger, clock: bootClock, timeoutMs: 2_000 });
  const made: Liar = {
    store,
    answer: () => Buffer.alloc(0),
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      server.close();
    },
  };
  return made;
}

/** Milliseconds for a watch that may have nothing to tell. */
const WATCH_MS = 50;

async function watchOnce(store: Store): Promise<unknown> {
  for await (const events of store.watch('', 1, AbortSignal.timeout(WATCH_MS))) return events;
  return null;
}

const kv = { key: '/t/a', value: 'v', createRevision: 3, modRevision: 5, lease: 7n };
const GOOD = {
  [RANGE.path]: RANGE.response.encode({ header: { revision: 9 }, kvs: [kv, { ...kv, key: '/t/b' }] }),
  [TXN.path]: TXN.response.encode({ header: { revision: 9 }, succeeded: true }),
  [WATCH.path]: WATCH.response.encode({ header: { revision: 9 }, events: [{ type: 0, kv }] }),
};

test('the good answers are understood, so that the bad ones are near them', async () => {
  await using server = await liar();
  server.answer = (path) => GOOD[path] ?? Buffer.alloc(0);
  assert.deepEqual(await server.store.get('a'), { key: 'a', value: 'v', revision: 5, leased: true });
  assert.equal((await server.store.list('')).entries.length, 2);
  assert.equal(await server.store.commit([{ type: 'put', key: 'a', value: '' }]), 9);
  const told = await server.store.watch('', 1, AbortSignal.timeout(5_000))[Symbol.asyncIterator]().next();
  assert.deepEqual(told.value, [{ key: 'a', value: 'v', revision: 5 }]);
});

test('a listing that never ends is given up', async () => {
  await using server = await liar();
  server.answer = () => RANGE.response.encode({ header: { revision: 9 }, kvs: [kv], more: true });
  await assert.rejects(server.store.list(''), { kind: 'internal', message: /what was not asked for/ });
});

test('mutated answers give an error of ours, or well-formed entries', async () => {
  await using server = await liar();
  const { store } = server;
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.tuple(fc.constantFrom(...Object.values(GOOD)), fc.nat(200), fc.nat(255)).map(([good, at, byte]) => {
      const bad = Uint8Array.from(good);
      bad[at % bad.length] = byte;
      return bad;
    }),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (answer) => {
      server.answer = () => answer;
      const outcomes = await Promise.allSettled([
        store.get('a'),
        store.list(''),
        store.commit([{ type: 'put', key: 'a', value: '', expect: 4 }]),
        store.lease(1_000).then((lease) => assert.equal(typeof lease.id, 'string')),
      ]);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof MoorError, String(outcome.reason));
      }
    }),
    { numRuns: 150 },
  );
});

test('a mutated watch gives an error of ours, or well-formed events', async () => {
  await using server = await liar();
  const good = GOOD[WATCH.path] ?? Buffer.alloc(0);
  for (let at = 0; at < good.length; at++) {
    const bad = Uint8Array.from(good);
    bad[at] = (bad[at] ?? 0) ^ 0x81;
    server.answer = (path) => (path === WATCH.path ? bad : (GOOD[path] ?? Buffer.alloc(0)));
    const seen = await watchOnce(server.store).catch((error: unknown) => error);
    assert.ok(seen === null || Array.isArray(seen) || seen instanceof MoorError, String(seen));
  }
});
