/** A server that answers what no Consul would: nothing of it may end the process, or look like data. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { bootClock } from '../../base/boot-clock.ts';
import { silentLogger } from '../../base/clock.ts';
import { MoorError } from '../../base/errors.ts';
import { CompactedError, type Store, type StoreEvent } from '../../contracts/store.ts';
import { openConsulStore } from './store.ts';

interface Reply {
  readonly status?: number;
  readonly index?: string;
  readonly text: string;
  /** More than is sent. */
  readonly length?: number;
}

interface Liar extends AsyncDisposable {
  readonly store: Store;
  answer: (path: string) => Reply | null;
}

async function liar(): Promise<Liar> {
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      const path = request.url ?? '';
      // A query that waits has nothing new.
      const reply = /[?&]index=[1-9]/.test(path) && path === waited ? null : made.answer(path);
      waited = /[?&]index=/.test(path) ? path : waited;
      if (reply === null) return;
      const { status = 200, index, text, length } = reply;
      const headers = {
        ...(index === undefined ? {} : { 'x-consul-index': index }),
        ...(length === undefined ? {} : { 'content-length': String(length) }),
      };
      response.writeHead(status, headers);
      response.end(text, () => length !== undefined && response.destroy());
    });
  });
  let waited = '';
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoints = [{ host: '127.0.0.1', port: (server.address() as AddressInfo).port }];
  const store = await openConsulStore({
    endpoints,
    prefix: '/t',
    logger: silentLogger,
    clock: bootClock,
    timeoutMs: 600,
    random: () => 0,
  });
  const made: Liar = {
    store,
    answer: () => ({ text: '' }),
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
    },
  };
  return made;
}

const kv = (key: string, value: string | null, modifyIndex: number): object => ({
  Key: key,
  Value: value === null ? null : Buffer.from(value).toString('base64'),
  ModifyIndex: modifyIndex,
});
const listing = (index: number, ...pairs: readonly object[]): Reply => ({ index: String(index), text: JSON.stringify(pairs) });
const txn = (...pairs: readonly object[]): Reply => ({
  text: JSON.stringify({ Results: pairs.map((KV) => ({ KV })), Errors: null }),
});
const GOOD = {
  listing: listing(9, { ...kv('t/a', 'v', 5), Session: '4b5b1b9e-6c9a-4d0a-9e0c-1e6c6f0a0001' }, kv('t/b', null, 7)),
  txn: txn(kv('t/a', 'v', 9)),
  session: { text: '{"ID":"4b5b1b9e-6c9a-4d0a-9e0c-1e6c6f0a0001"}' },
};
const good = (path: string): Reply =>
  path.startsWith('/v1/kv/') ? GOOD.listing : path.startsWith('/v1/txn') ? GOOD.txn : GOOD.session;

test('the good answers are understood, so that the bad ones are near them', async () => {
  await using server = await liar();
  server.answer = good;
  const { store } = server;
  assert.deepEqual(await store.get('a'), { key: 'a', value: 'v', revision: 9 });
  assert.deepEqual((await store.list('')).entries, [
    { key: 'a', value: 'v', revision: 5, leased: true },
    { key: 'b', value: '', revision: 7 },
  ]);
});

test('an entry that was not asked for is none', async () => {
  await using server = await liar();
  server.answer = (path) =>
    path.startsWith('/v1/txn')
      ? txn(kv('t/other', 'v', 9))
      : listing(9, kv('u/a', 'v', 5), kv('t/', 'v', 5), kv('t/ü', 'v', 5), kv('t', 'v', 5));
  await assert.rejects(server.store.get('a'), { kind: 'internal', message: /what was not asked for/ });
  assert.deepEqual((await server.store.list('')).entries, []);
});

test('an answer that is cut short is no answer, nor is a value', async () => {
  await using server = await liar();
  const whole = GOOD.listing.text;
  server.answer = () => ({ index: '9', text: whole.slice(0, -5), length: whole.length });
  await assert.rejects(server.store.list(''), { kind: 'unavailable' });
  server.answer = () => ({ index: '9', text: whole.slice(0, -5) });
  await assert.rejects(server.store.list(''), { kind: 'internal', message: /not understood/ });
  server.answer = () => ({ index: '9', text: JSON.stringify([{ ...kv('t/a', null, 5), Value: 'YWJjZ' }]) });
  await assert.rejects(server.store.list(''), { kind: 'internal', message: /not understood/ });
});

test('an older revision is the end of a watch, not news; a number given twice as well', async () => {
  await using server = await liar();
  const { store } = server;
  let now = listing(50, kv('t/a', 'new', 50), kv('t/b', 'stays', 40));
  server.answer = (path) => (path.startsWith('/v1/kv/') ? now : txn(kv('t/a', 'v', 30)));
  const { revision } = await store.list('');
  const seen: StoreEvent[] = [];
  const watching = (async () => {
    for await (const events of store.watch('', revision, AbortSignal.timeout(10_000))) seen.push(...events);
  })();
  const ended = assert.rejects(
    watching,
    (error) => error instanceof CompactedError && /gone back to 20, list again/.test(error.message),
  );
  now = listing(20, kv('t/a', 'old', 20));
  await ended;
  assert.deepEqual(seen, []);
  assert.deepEqual((await store.list('')).entries, [{ key: 'a', value: 'old', revision: 20 }]);
  now = listing(60, kv('t/a', 'v', 60));
  const later = await store.list('');
  const again = store.watch('', later.revision, AbortSignal.timeout(10_000))[Symbol.asyncIterator]().next();
  const over = assert.rejects(again, CompactedError);
  await new Promise((done) => setTimeout(done, 50));
  assert.equal(await store.commit([{ type: 'put', key: 'a', value: 'v' }]), 30);
  await over;
});

test('mutated answers give an error of ours, or well-formed entries', async () => {
  await using server = await liar();
  const { store } = server;
  const texts = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.json(),
    fc
      .tuple(fc.constantFrom(GOOD.listing.text, GOOD.txn.text, GOOD.session.text), fc.nat(300), fc.string({ maxLength: 3 }))
      .map(([text, at, piece]) => text.slice(0, at % text.length) + piece + text.slice((at % text.length) + 1)),
  );
  const indexes = fc.constantFrom('0', '9', '-1', 'x', '1e400', undefined);
  await fc.assert(
    fc.asyncProperty(texts, indexes, fc.constantFrom(200, 404, 409, 403, 413), async (text, index, status) => {
      server.answer = () => ({ text, status, ...(index === undefined ? {} : { index }) });
      const outcomes = await Promise.allSettled([
        store.get('a').then((entry) => assert.ok(entry === null || Number.isSafeInteger(entry.revision))),
        store.list('').then(({ entries }) => assert.ok(entries.every((entry) => Number.isSafeInteger(entry.revision)))),
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

test('what a server says of access and size is told as that', async () => {
  await using server = await liar();
  server.answer = () => ({ status: 403, text: 'Permission denied' });
  await assert.rejects(server.store.get('a'), {
    kind: 'forbidden',
    message: /^cannot read a: Consul at 127\.0\.0\.1:\d+: Permission denied$/,
  });
  await assert.rejects(server.store.watch('', 1, AbortSignal.timeout(5_000))[Symbol.asyncIterator]().next(), {
    kind: 'forbidden',
  });
  const many = Array.from({ length: 40 }, (_, i) => ({ type: 'put', key: `k/${i}`, value: '' }) as const);
  await assert.rejects(server.store.commit(many), {
    kind: 'invalid',
    message: /40 writes are 80 operations for Consul, which takes 64 in one commit/,
  });
});
