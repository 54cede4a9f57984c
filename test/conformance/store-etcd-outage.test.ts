// test-timeout: 150 s
/** What only etcd has: clusters that lose their leader, quotas, compaction. The rest of outages: store-etcd-server.test.ts. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { CompactedError, type Revision } from '../../src/contracts/store.ts';
import { EtcdServer, startEtcd } from '../support/etcd.ts';
import { at, check, open, PORT, Watcher } from './store-etcd-lab.ts';
import { eventually, put } from './store-harness.ts';

check('a server that has lost its cluster is left for one that has not', async () => {
  await using left = new EtcdServer(PORT + 10, { cluster: [PORT + 10, PORT + 12] });
  await using right = new EtcdServer(PORT + 12, { cluster: [PORT + 12, PORT + 10] });
  await using server = await startEtcd(PORT);
  left.launch();
  right.launch();
  await Promise.all([left.ready(), right.ready()]);
  await using store = await open([left.endpoint, server.endpoint]);
  await store.get('n/a');
  await using watcher = new Watcher(store, 1);
  // Half of a cluster has no majority.
  await right.stop();
  await eventually(async () => (await store.commit([put('w/k', '0')]).catch(() => 0)) > 0);
  // The watch has left too, and has seen that it is among strangers: only here, where the next server is of another cluster.
  const error = await watcher.fails();
  assert.ok(error instanceof CompactedError, String(error));
  assert.match(error.message, /the store is another cluster now, list again$/);
});

check('a server that is full says so; what is too much for one commit is refused', async () => {
  await using server = await startEtcd(PORT, { flags: ['--quota-backend-bytes', '4000000'] });
  await using store = await open([server.endpoint]);
  const writes = Array.from({ length: 129 }, (_, i) => put(`n/${i}`, ''));
  await assert.rejects(store.commit(writes), { kind: 'invalid', message: /^cannot write n\/0: .*too many operations/ });
  const large = (count: number): Promise<Revision> =>
    store.commit(Array.from({ length: count }, (_, i) => put(`n/${i}`, 'x'.repeat(500_000))));
  await assert.rejects(large(4), { kind: 'invalid', message: /too large/ });
  await assert.rejects(large(8), { kind: 'invalid', message: /larger than max/ });
  assert.equal(await store.get('n/0'), null);
  await assert.rejects(
    async () => {
      // etcd measures its file, to which it writes ten times a second.
      for (let i = 0; i < 200; i++) {
        await store.commit([put(`n/${i % 20}`, 'x'.repeat(400_000))]);
        await sleep(20);
      }
    },
    { kind: 'exhausted', message: /database space exceeded/ },
  );
  assert.equal((await store.get('n/0'))?.value.length, 400_000);
});

check('a listing whose revision is compacted meanwhile is begun again', async () => {
  await using server = await startEtcd(PORT);
  await using store = await open([server.endpoint]);
  const keys = Array.from({ length: 3_000 }, (_, i) => `l/${String(i).padStart(4, '0')}`);
  for (let i = 0; i < 30; i++) await store.commit(keys.slice(i * 100, i * 100 + 100).map((key) => put(key, 'x'.repeat(1_000))));
  for (let round = 0; round < 12; round++) {
    const listing = store.list('l/');
    await sleep(round);
    await server.compact();
    assert.deepEqual(
      (await listing).entries.map(({ key }) => key),
      keys,
    );
  }
});

check(
  'three servers: leaders are killed and members stopped while a counter counts and every watch sees each number once',
  async () => {
    const ports = [PORT, PORT + 2, PORT + 4];
    await using stack = new AsyncDisposableStack();
    const servers = ports.map((port): EtcdServer => {
      const others = ports.filter((other) => other !== port);
      return stack.use(
        new EtcdServer(port, { cluster: [port, ...others], flags: ['--heartbeat-interval', '50', '--election-timeout', '500'] }),
      );
    });
    for (const server of servers) server.launch();
    await Promise.all(servers.map((server) => server.ready()));
    const stores = await Promise.all(
      servers.map((_, first) =>
        open(
          ports.map((_port, i) => at(ports[(first + i) % 3] ?? 0)),
          { timeoutMs: 10_000 },
        ),
      ),
    );
    for (const store of stores) stack.use(store);
    const [store] = stores;
    assert.ok(store);
    const start = await store.commit([put('w/counter', '0')]);
    const watchers = stores.map((one) => stack.use(new Watcher(one, start)));
    const stop = new AbortController();
    let count = 0;
    const counting = (async () => {
      while (!stop.signal.aborted) {
        const entry = await store.get('w/counter').catch(() => null);
        // What was not known to be done is found by reading.
        if (entry) count = Math.max(count, Number(entry.value));
        if (entry) await store.commit([put('w/counter', String(count + 1), { expect: entry.revision })]).catch(() => null);
      }
    })();
    for (const [index, way] of (['kill', 'freeze', 'kill'] as const).entries()) {
      const server = servers[index];
      assert.ok(server);
      const before = count;
      if (way === 'kill') await server.stop();
      else await server.freeze();
      await eventually(async () => count > before + 20);
      if (way === 'kill') await server.start();
      else server.thaw();
      await server.ready();
    }
    stop.abort();
    await counting;
    const total = Number((await store.get('w/counter'))?.value);
    for (const watcher of watchers) {
      await watcher.has(total);
      assert.deepEqual(
        watcher.values(),
        Array.from({ length: total }, (_, i) => String(i + 1)),
      );
    }
  },
);
