// test-timeout: 150 s
/** What watches tell after a restart, silence, a compaction, and the loss of what they had told. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LogFields, silentLogger } from '../../src/base/clock.ts';
import { CompactedError } from '../../src/contracts/store.ts';
import { startEtcd } from '../support/etcd.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { at, check, numbers, open, PORT, Watcher } from './store-etcd-lab.ts';
import { put } from './store-harness.ts';

check('a watch goes on over restarts of the server, killed or asked to end', async () => {
  await using server = await startEtcd(PORT);
  await using store = await open([server.endpoint]);
  const start = await store.commit([put('start', '')]);
  await using watcher = new Watcher(store, start);
  let written = 0;
  const write = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) await server.put('/t/w/k', String(written++));
  };
  await write(20);
  await watcher.has(20);
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const) {
    await write(10);
    await server.stop(signal);
    await sleep(200);
    await server.start();
    await write(20);
    await watcher.has(written);
  }
  assert.deepEqual(watcher.values(), numbers(written));
});

check('a watch survives a server that is silent for a while, and one whose wire swallows everything', async () => {
  await using server = await startEtcd(PORT);
  await using proxy = await TcpProxy.start(PORT + 20, PORT);
  await using store = await open([at(PORT + 20)]);
  const start = await store.commit([put('start', '')]);
  await using watcher = new Watcher(store, start);
  await server.put('/t/w/k', '0');
  await watcher.has(1);
  await server.freeze();
  await sleep(5_000);
  server.thaw();
  await server.ready();
  await server.put('/t/w/k', '1');
  await watcher.has(2);
  proxy.swallow();
  for (const value of ['2', '3', '4']) await server.put('/t/w/k', value);
  // Longer than it takes to find out. The connections that are open now are dead for good.
  await sleep(5_000);
  proxy.restore();
  await watcher.has(5);
  assert.deepEqual(watcher.values(), numbers(5));
});

check(
  'a silent server is left while it is silent: only this client is cut off, and gets its changes over another wire',
  async () => {
    await using server = await startEtcd(PORT);
    await using first = await TcpProxy.start(PORT + 20, PORT);
    await using second = await TcpProxy.start(PORT + 21, PORT);
    await using store = await open([at(PORT + 20), at(PORT + 21)]);
    const start = await store.commit([put('start', '')]);
    await using watcher = new Watcher(store, start);
    await using idle = new Watcher(store, start, 'none/');
    await server.put('/t/w/k', '0');
    await watcher.has(1);
    first.swallow();
    await server.put('/t/w/k', '1');
    await watcher.has(2);
    await server.put('/t/w/k', '2');
    await watcher.has(3);
    assert.deepEqual(watcher.values(), numbers(3));
    second.cut();
    first.restore();
    await server.put('/t/none/k', '3');
    await idle.has(1);
  },
);

check('changes that were compacted while the client was cut off are not passed over', async () => {
  await using server = await startEtcd(PORT);
  await using proxy = await TcpProxy.start(PORT + 20, PORT);
  await using store = await open([at(PORT + 20)]);
  const start = await store.commit([put('start', '')]);
  await using watcher = new Watcher(store, start);
  await server.put('/t/w/k', '0');
  await watcher.has(1);
  proxy.cut();
  await server.put('/t/w/k', '1');
  await server.put('/t/w/k', '2');
  await server.compact();
  proxy.restore();
  const error = await watcher.fails();
  assert.ok(error instanceof CompactedError, String(error));
  assert.match(error.message, /^cannot watch w\/ from revision \d+: compacted up to \d+, list again$/);
  const { entries, revision } = await store.list('w/');
  assert.deepEqual(
    entries.map(({ value }) => value),
    ['2'],
  );
  await using again = new Watcher(store, revision);
  await server.put('/t/w/k', '3');
  await again.has(1);
});

check('a compaction of what was told already ends nothing', async () => {
  await using server = await startEtcd(PORT);
  await using proxy = await TcpProxy.start(PORT + 20, PORT);
  await using store = await open([at(PORT + 20)]);
  await using watcher = new Watcher(store, await store.commit([put('start', '')]));
  await server.put('/t/w/k', '0');
  await server.put('/t/w/k', '1');
  await watcher.has(2);
  proxy.cut();
  await server.gateway('kv/compaction', { revision: await server.revision(), physical: true });
  await server.put('/t/w/k', '2');
  proxy.restore();
  await watcher.has(3);
  assert.deepEqual(watcher.values(), numbers(3));
});

check('a store that was set up anew, or restored from a backup, does not make a watch wait for its old revision', async () => {
  await using server = await startEtcd(PORT);
  await using store = await open([server.endpoint], { timeoutMs: 15_000 });
  for (let i = 0; i < 10; i++) await store.commit([put('w/k', String(i))]);
  const revision = await store.commit([put('w/k', 'last')]);
  await using watcher = new Watcher(store, revision);
  await store.get('w/k');
  await server.stop();
  server.wipe();
  await server.start();
  const error = await watcher.fails();
  assert.ok(error instanceof CompactedError, String(error));
  assert.match(error.message, /the store has gone back to \d+, list again$/);
});

check('watches of what never changes keep their connection', async () => {
  await using server = await startEtcd(PORT);
  const warnings: string[] = [];
  const warn = (fields: LogFields, message: string): void => void warnings.push(`${message} ${JSON.stringify(fields)}`);
  await using store = await open([server.endpoint], { logger: { ...silentLogger, warn } });
  const start = await store.commit([put('start', '')]);
  await using stack = new AsyncDisposableStack();
  const watchers = Array.from({ length: 12 }, () => stack.use(new Watcher(store, start)));
  // Three questions for a sign of life: as pings they would be too many for etcd.
  await sleep(8_000);
  assert.deepEqual(warnings, []);
  await server.put('/t/w/k', '0');
  for (const watcher of watchers) await watcher.has(1);
});
