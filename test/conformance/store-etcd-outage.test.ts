// test-timeout: 150 s
/** What happens to calls when servers end, stop, are full or lose their leader, and when the wire is cut. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { MoorError } from '../../src/base/errors.ts';
import { CompactedError, type Revision } from '../../src/contracts/store.ts';
import { EtcdServer, startEtcd } from '../support/etcd.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { at, check, DEAD, open, PORT, Watcher } from './store-etcd-lab.ts';
import { eventually, put } from './store-harness.ts';

check('calls made while the server restarts are answered when it is back', async () => {
  await using server = await startEtcd(PORT);
  await using store = await open([server.endpoint], { timeoutMs: 15_000 });
  const revision = await store.commit([put('n/a', '1')]);
  await server.stop();
  // A commit that was sent while the connection was breaking could not say whether it was done.
  await sleep(100);
  const calls = [store.get('n/a'), store.list('n/'), store.commit([put('n/b', '1', { expect: 'absent' })])] as const;
  await sleep(300);
  await server.start();
  const [entry, listing, written] = await Promise.all(calls);
  assert.equal(entry?.revision, revision);
  assert.ok(listing.entries.some(({ key }) => key === 'n/a'));
  assert.ok(written > revision);
});

check('without a server calls end in time and say why', async () => {
  await using dead = await open([DEAD, at(23_998)], { timeoutMs: 400 });
  await assert.rejects(dead.get('n/a'), (error: unknown) => {
    assert.ok(error instanceof MoorError);
    assert.equal(error.kind, 'unavailable');
    assert.match(error.message, /^cannot read n\/a: etcd at 127\.0\.0\.1:23999, 127\.0\.0\.1:23998: .*ECONNREFUSED/);
    return true;
  });
  await assert.rejects(dead.commit([put('n/a', '1')]), {
    kind: 'unavailable',
    message: /^cannot write n\/a: etcd at .*ECONNREFUSED/,
  });
  await assert.rejects(dead.lease(10_000), { kind: 'unavailable', message: /^cannot take a lease/ });
});

check('with a server that is silent calls end in time', async () => {
  await using server = await startEtcd(PORT);
  await using store = await open([server.endpoint], { timeoutMs: 600 });
  await store.commit([put('n/a', '1')]);
  await server.freeze();
  // The first finds the connection open, the later ones find that none can be made.
  await assert.rejects(store.commit([put('n/a', '2')]), {
    kind: 'timeout',
    message: /^cannot write n\/a: etcd at 127\.0\.0\.1:23790: no answer/,
  });
  await assert.rejects(store.commit([put('n/a', '3')]), { kind: 'unavailable' });
  await assert.rejects(store.get('n/a'), { kind: 'unavailable' });
  server.thaw();
  await eventually(async () => (await store.get('n/a').catch(() => null)) !== null);
  assert.notEqual((await store.get('n/a'))?.value, '3', 'what was never sent is never done');
});

check('the first of several servers is dead, or silent: the next one serves', async () => {
  await using silent = await startEtcd(PORT + 10);
  await using server = await startEtcd(PORT);
  await silent.freeze();
  await using store = await open([DEAD, silent.endpoint, server.endpoint]);
  await store.commit([put('n/a', '1')]);
  assert.equal((await store.get('n/a'))?.value, '1');
});

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

check('a commit whose connection breaks is never done twice', async () => {
  await using _server = await startEtcd(PORT);
  await using proxy = await TcpProxy.start(PORT + 20, PORT);
  await using store = await open([at(PORT + 20)]);
  const outcomes: string[] = [];
  const writer = async (name: string): Promise<void> => {
    for (let i = 0; i < 150; i++) {
      // A commit that is done twice by the client is refused the second time.
      const outcome = await store.commit([put(`k/${name}/${i}`, '', { expect: 'absent' })]).then(
        () => 'done',
        (error: unknown) => (error instanceof MoorError ? error.kind : String(error)),
      );
      outcomes.push(`${name}/${i} ${outcome}`);
    }
  };
  const cutter = (async () => {
    for (let i = 0; i < 12; i++) {
      await sleep(20);
      proxy.cut();
      await sleep(5);
      proxy.restore();
    }
  })();
  await Promise.all([writer('a'), writer('b'), writer('c'), cutter]);
  const present = new Set((await store.list('k/')).entries.map(({ key }) => key));
  for (const outcome of outcomes) {
    const [name = '', kind = ''] = outcome.split(' ');
    assert.ok(kind === 'done' || kind === 'unavailable', outcome);
    if (kind === 'done') assert.ok(present.has(`k/${name}`), `${outcome}, and not there`);
  }
  assert.ok(
    outcomes.some((outcome) => outcome.endsWith('unavailable')),
    'no cut hit a commit',
  );
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

check('closing a store ends what waits for a server that is away', async () => {
  const store = await open([DEAD], { timeoutMs: 500 });
  await using watcher = new Watcher(store, 1);
  const call = assert.rejects(store.get('n/a'), { kind: 'unavailable' });
  await sleep(50);
  await store[Symbol.asyncDispose]();
  await call;
  assert.match(String(await watcher.fails()), /the store is closed/);
});
