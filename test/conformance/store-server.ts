/**
 * What a store does when its server ends, is silent, forgets everything or is cut off, and who believes to hold a lease when time passes for one and not
 * for the other. The same for Consul, etcd and ZooKeeper, on real servers.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootClock } from '../../src/base/boot-clock.ts';
import { type Logger, type SteadyClock, silentLogger } from '../../src/base/clock.ts';
import { MoorError } from '../../src/base/errors.ts';
import { CompactedError, type Store, type StoreEvent } from '../../src/contracts/store.ts';
import type { Endpoint } from '../../src/store/address.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { eventually, put, rejects, remove } from './store-harness.ts';

export interface OpenOptions {
  readonly endpoints: readonly Endpoint[];
  readonly prefix: string;
  readonly logger: Logger;
  readonly clock: SteadyClock;
  readonly random?: () => number;
  readonly timeoutMs?: number;
}

export interface ServerSuite {
  /** As in errors: `Consul`. */
  readonly name: 'Consul' | 'etcd' | 'ZooKeeper';
  readonly skip: string | false;
  readonly port: number;
  readonly startServer: (port: number) => Promise<ServerProcess>;
  readonly open: (options: OpenOptions) => Promise<Store>;
  /** Ends a lease behind its holder's back. */
  readonly takeAway: (server: ServerProcess, store: Store, lease: string) => Promise<void>;
}

const CHILD = new URL('./store-server.child.ts', import.meta.url).pathname;
/** Where nobody listens. */
const DEAD: Endpoint = { host: '127.0.0.1', port: 23_999 };
const at = (port: number): Endpoint => ({ host: '127.0.0.1', port });
/** Of leases, in milliseconds. Consul takes up to twice as long to end one. */
const TTL_MS = 3_000;

/** Follows a watch from a listing on. */
class Follower implements AsyncDisposable {
  readonly state: Map<string, string>;
  readonly events: StoreEvent[] = [];
  error: unknown = null;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  private constructor(store: Store, prefix: string, listing: Awaited<ReturnType<Store['list']>>) {
    const state = new Map(listing.entries.map(({ key, value }) => [key, value]));
    this.state = state;
    this.#ended = (async () => {
      try {
        for await (const batch of store.watch(prefix, listing.revision, this.#stop.signal)) {
          this.events.push(...batch);
          for (const { key, value } of batch) {
            if (value === null) state.delete(key);
            else state.set(key, value);
          }
        }
      } catch (error) {
        this.error = error;
      }
    })();
  }

  static async begin(store: Store, prefix = 'w/'): Promise<Follower> {
    return new Follower(store, prefix, await store.list(prefix));
  }

  async has(key: string, value: string | undefined): Promise<void> {
    await eventually(async () => this.error !== null || this.state.get(key) === value);
    assert.equal(this.error, null);
  }

  async fails(): Promise<unknown> {
    await eventually(async () => this.error !== null);
    return this.error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}

interface Lab {
  readonly check: (title: string, body: () => Promise<void>) => void;
  readonly open: (endpoints: readonly Endpoint[], more?: Partial<OpenOptions>) => Promise<Store>;
}

function labOf({ name, skip, open }: ServerSuite): Lab {
  return {
    check: (title, body) => void test(`${name}: ${title}`, { skip }, body),
    open: (endpoints, more = {}) =>
      open({ endpoints, prefix: '/t', logger: silentLogger, clock: bootClock, random: () => 0, ...more }),
  };
}

export function outageChecks(suite: ServerSuite): void {
  const { name, port, startServer } = suite;
  const { check, open } = labOf(suite);

  check('calls made while the server restarts are answered when it is back', async () => {
    await using server = await startServer(port);
    await using store = await open([server.endpoint], { timeoutMs: 20_000 });
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
    const why = new RegExp(`^cannot read n/a: ${name} at 127\\.0\\.0\\.1:23999, 127\\.0\\.0\\.1:23998: .*ECONNREFUSED`);
    await rejects('unavailable', dead.get('n/a'), why);
    await rejects('unavailable', dead.commit([put('n/a', '1')]), new RegExp(`^cannot write n/a: ${name} at .*ECONNREFUSED`));
    await rejects('unavailable', dead.list('n/'), /^cannot list n\/: .*ECONNREFUSED/);
    await rejects('unavailable', dead.lease(10_000), /^cannot take a lease: .*ECONNREFUSED/);
  });

  check('with a server that is silent calls end in time', async () => {
    await using server = await startServer(port);
    await using store = await open([server.endpoint], { timeoutMs: 600 });
    await store.commit([put('n/a', '1')]);
    await server.freeze();
    const refused = async (what: Promise<unknown>): Promise<void> => {
      await assert.rejects(what, (error) => error instanceof MoorError && ['timeout', 'unavailable'].includes(error.kind));
    };
    const silent = new RegExp(`^cannot write n/a: ${name} at .*no answer`);
    // ZooKeeper is asked what is there first, so that nothing can have been done.
    await rejects(name === 'ZooKeeper' ? 'unavailable' : 'timeout', store.commit([put('n/a', '2')]), silent);
    await refused(store.commit([put('n/c', '3')]));
    await refused(store.get('n/a'));
    await refused(store.list('n/'));
    server.thaw();
    await eventually(async () => (await store.get('n/a').catch(() => null)) !== null);
    // The others may have had the request in their socket. etcd's client had found by then that no connection can be made.
    if (name === 'etcd') assert.equal(await store.get('n/c'), null, 'what was never sent is never done');
  });

  check('the first of several servers is dead, or silent: the next one serves', async () => {
    await using silent = await startServer(port + 10);
    await using server = await startServer(port);
    await silent.freeze();
    await using store = await open([DEAD, silent.endpoint, server.endpoint]);
    await eventually(async () => (await store.commit([put('n/a', '1')]).catch(() => 0)) > 0);
    assert.equal((await store.get('n/a'))?.value, '1');
  });

  check('a watch goes on over restarts of the server, killed or asked to end', async () => {
    await using server = await startServer(port);
    await using store = await open([server.endpoint], { timeoutMs: 20_000 });
    await store.commit([put('w/k', 'start'), put('w/gone', '')]);
    await using follower = await Follower.begin(store);
    let written = 0;
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      await store.commit([put('w/k', String(++written))]);
      await follower.has('w/k', String(written));
      await server.stop(signal);
      await sleep(100);
      await server.start();
      await using other = await open([server.endpoint], { timeoutMs: 20_000 });
      await other.commit([put('w/k', String(++written)), put(`w/${signal}`, ''), remove('w/gone')]);
      await follower.has('w/k', String(written));
      await follower.has(`w/${signal}`, '');
      await follower.has('w/gone', undefined);
    }
    const { entries } = await store.list('w/');
    assert.deepEqual(new Map(entries.map(({ key, value }) => [key, value])), follower.state);
  });

  check('a watch survives a server that is silent for a while, and a wire that swallows everything', async () => {
    await using server = await startServer(port);
    await using proxy = await TcpProxy.start(port + 20, port);
    await using second = await TcpProxy.start(port + 21, port);
    await using other = await open([server.endpoint], { timeoutMs: 20_000 });
    await other.commit([put('w/k', '0')]);
    await using store = await open([at(port + 20), at(port + 21)]);
    await using follower = await Follower.begin(store);
    await server.freeze();
    await sleep(4_000);
    server.thaw();
    await server.ready();
    await other.commit([put('w/k', '1')]);
    await follower.has('w/k', '1');
    // Only this client is cut off, and goes over to the other wire.
    proxy.swallow();
    await other.commit([put('w/k', '2')]);
    await follower.has('w/k', '2');
    proxy.restore();
    second.swallow();
    await other.commit([put('w/k', '3'), put('w/new', '')]);
    await follower.has('w/k', '3');
    await follower.has('w/new', '');
    assert.deepEqual(
      follower.events.filter(({ key }) => key === 'w/k').map(({ value }) => value),
      ['1', '2', '3'],
    );
  });

  check('a store that was set up anew does not make a watch wait for its old revision', async () => {
    await using server = await startServer(port);
    await using store = await open([server.endpoint], { timeoutMs: 20_000 });
    for (let i = 0; i < 20; i++) await store.commit([put('w/k', String(i))]);
    await using follower = await Follower.begin(store);
    await using idle = await Follower.begin(store, 'none/');
    await server.stop();
    server.wipe();
    await server.start();
    const error = await follower.fails();
    assert.ok(error instanceof CompactedError, String(error));
    assert.match(error.message, /^cannot watch w\/(?: from revision \d+)?: the store has gone back to \d+, list again$/);
    await store.commit([put('none/k', 'new')]);
    const told = eventually(async () => idle.error !== null || idle.state.has('none/k'));
    await told;
    assert.ok(idle.error === null || idle.error instanceof CompactedError, String(idle.error));
    const { entries } = await store.list('');
    assert.deepEqual(
      entries.map(({ key }) => key),
      ['none/k'],
    );
  });

  check('a commit whose connection breaks is never done twice', async () => {
    await using _server = await startServer(port);
    await using proxy = await TcpProxy.start(port + 20, port);
    await using store = await open([at(port + 20)]);
    const outcomes: string[] = [];
    const writer = async (writerName: string): Promise<void> => {
      for (let i = 0; i < 100; i++) {
        // A commit that is done twice by the client is refused the second time.
        const outcome = await store.commit([put(`k/${writerName}/${i}`, '', { expect: 'absent' })]).then(
          () => 'done',
          (error: unknown) => (error instanceof MoorError ? error.kind : String(error)),
        );
        outcomes.push(`${writerName}/${i} ${outcome}`);
      }
    };
    const stop = new AbortController();
    const cutter = (async () => {
      while (!stop.signal.aborted) {
        await sleep(20);
        proxy.cut();
        await sleep(5);
        proxy.restore();
        await sleep(60);
      }
    })();
    await Promise.all(['a', 'b', 'c'].map(writer));
    stop.abort();
    await cutter;
    const present = new Set((await store.list('k/')).entries.map(({ key }) => key));
    for (const outcome of outcomes) {
      const [key = '', kind = ''] = outcome.split(' ');
      assert.ok(kind === 'done' || kind === 'unavailable', outcome);
      if (kind === 'done') assert.ok(present.has(`k/${key}`), `${outcome}, and not there`);
    }
    assert.ok(
      outcomes.some((outcome) => outcome.endsWith('unavailable')),
      'no cut hit a commit',
    );
  });

  check('many that count with one counter count each number once', async () => {
    await using server = await startServer(port);
    await using stack = new AsyncDisposableStack();
    const stores = await Promise.all(Array.from({ length: 4 }, () => open([server.endpoint])));
    for (const store of stores) stack.use(store);
    await stores[0]!.commit([put('c/counter', '0')]);
    const taken: number[] = [];
    await Promise.all(
      stores.map(async (store) => {
        for (let done = 0; done < 25; ) {
          const entry = await store.get('c/counter');
          // Removed, and not made again yet.
          if (entry === null) {
            await sleep(5);
            continue;
          }
          const next = Number(entry.value) + 1;
          try {
            await store.commit([put('c/counter', String(next), { expect: entry.revision })]);
            taken.push(next);
            done++;
            // Now and then it is removed and made again: what was read before says nothing about that one.
            if (next % 10 === 0) {
              const now = await store.get('c/counter');
              if (now)
                await store.commit([{ type: 'delete', key: 'c/counter', expect: now.revision }, put('c/spare', now.value)]);
              const spare = await store.get('c/spare');
              if (spare) await store.commit([put('c/counter', spare.value, { expect: 'absent' }), remove('c/spare')]);
            }
          } catch (error) {
            assert.ok(error instanceof MoorError && error.kind === 'conflict', String(error));
          }
        }
      }),
    );
    assert.deepEqual(
      taken.toSorted((one, two) => one - two),
      Array.from({ length: 100 }, (_, i) => i + 1),
    );
  });

  check('closing a store does not wait for a server that is silent as long as its calls would', async () => {
    await using server = await startServer(port);
    const store = await open([server.endpoint], { timeoutMs: 60_000 });
    await store.commit([put('n/a', '1')]);
    await server.freeze();
    const calls = [store.get('n/a'), store.list('n/'), store.commit([put('n/a', '2')])].map((call) => assert.rejects(call));
    const began = performance.now();
    await store[Symbol.asyncDispose]();
    await Promise.all(calls);
    assert.ok(performance.now() - began < 30_000);
    server.thaw();
  });

  check('closing a store ends what waits for a server that is away', async () => {
    const store = await open([DEAD], { timeoutMs: 500 });
    const watching = (async () => {
      for await (const batch of store.watch('w/', 1, new AbortController().signal)) assert.fail(JSON.stringify(batch));
    })();
    const ended = rejects('unavailable', watching, /the store is closed/);
    const call = assert.rejects(store.get('n/a'), { kind: 'unavailable' });
    await sleep(50);
    await store[Symbol.asyncDispose]();
    await call;
    await ended;
  });
}

export function leaseFaultChecks(suite: ServerSuite): void {
  const { port, startServer, takeAway } = suite;
  const { check, open } = labOf(suite);

  check('a lease that cannot be renewed is lost here before it is gone elsewhere', async () => {
    await using server = await startServer(port);
    await using proxy = await TcpProxy.start(port + 20, port);
    await using store = await open([at(port + 20)]);
    await using other = await open([server.endpoint]);
    const lease = await store.lease(TTL_MS);
    await store.commit([put('l/a', '1', { lease })]);
    let aborted = false;
    lease.lost.addEventListener('abort', () => (aborted = true));
    // Longer than its time to live: it is renewed.
    await sleep(TTL_MS * 2.3);
    assert.equal(lease.lost.aborted, false);
    await using follower = await Follower.begin(other, 'l/');
    assert.equal(follower.state.get('l/a'), '1');
    proxy.swallow();
    await follower.has('l/a', undefined);
    assert.equal(aborted, true, 'the holder was told first');
    assert.match(String(lease.lost.reason), /lease [0-9a-f-]+ ran out: it could not be renewed for 3000 ms/);
    proxy.restore();
    await rejects('unavailable', store.commit([put('l/a', '2', { lease })]), /cannot write l\/a: its lease is lost/);
    await eventually(async () => (await store.get('x').catch(() => undefined)) === null);
    await store.commit([put('l/a', '2', { expect: 'absent', lease: await store.lease(TTL_MS) })]);
  });

  check('an outage shorter than the time to live costs no lease, nor does a restart of the server', async () => {
    await using server = await startServer(port);
    await using proxy = await TcpProxy.start(port + 20, port);
    await using store = await open([at(port + 20)]);
    await using lease = await store.lease(12_000);
    await store.commit([put('l/a', '1', { lease })]);
    proxy.cut();
    // A renewal is due after 4 s.
    await sleep(4_500);
    proxy.restore();
    await sleep(2_000);
    await server.stop();
    await server.start();
    await sleep(4_500);
    assert.equal(lease.lost.aborted, false);
    assert.equal((await store.get('l/a'))?.value, '1');
  });

  check('a lease that somebody takes away is lost at the next renewal, or the next write under it', async () => {
    await using server = await startServer(port);
    await using store = await open([server.endpoint]);
    const first = await store.lease(TTL_MS);
    const second = await store.lease(60_000);
    await store.commit([put('l/a', '1', { lease: first })]);
    await store.commit([put('l/b', '1', { lease: second })]);
    for (const { id } of [first, second]) await takeAway(server, store, id);
    await eventually(async () => first.lost.aborted);
    assert.match(String(first.lost.reason), /is gone: it ran out or was taken away/);
    await rejects('unavailable', store.commit([put('l/c', '1', { lease: second })]), /cannot write l\/c: its lease is lost/);
    assert.equal(second.lost.aborted, true);
    assert.deepEqual((await store.list('')).entries, []);
  });

  check(
    'whoever looks at a lease after time has passed unseen is told that it is lost, without a turn of the event loop',
    async () => {
      await using server = await startServer(port);
      let skipped = 0;
      await using store = await open([server.endpoint], { clock: { elapsed: () => bootClock.elapsed() + skipped } });
      const lease = await store.lease(30_000);
      await store.commit([put('l/a', '1', { lease })]);
      assert.equal(lease.lost.aborted, false);
      // The machine slept.
      skipped = 31_000;
      assert.equal(lease.lost.aborted, true);
      await rejects('unavailable', store.commit([put('l/a', '2', { lease })]), /its lease is lost/);
    },
  );

  check('a process that was stopped for twice the time to live never believes to hold its lease when it goes on', async () => {
    await using server = await startServer(port);
    await using store = await open([server.endpoint]);
    const folder = mkdtempSync(join(tmpdir(), 'moor-lease-'));
    const file = join(folder, 'said');
    const child = spawn(process.execPath, [CHILD, suite.name, String(port), file], { stdio: ['ignore', 'inherit', 'inherit'] });
    const said = (): readonly string[] => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []);
    try {
      // Starting takes long on a machine that has much to do.
      for (let tries = 0; said().length <= 100 && tries < 4_000; tries++) await sleep(10);
      assert.deepEqual([...new Set(said())], ['held']);
      child.kill('SIGSTOP');
      await eventually(async () => readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.[0] === 'T');
      const before = said().length;
      const work = (await store.get('work'))?.value;
      await sleep(2 * TTL_MS);
      await eventually(async () => (await store.get('owner')) === null);
      // Another has it now.
      await store.commit([put('owner', 'other', { expect: 'absent' }), put('work', 'other')]);
      child.kill('SIGCONT');
      await eventually(async () => said().includes('told') && said().includes('refused') && said().length > before + 50);
      assert.deepEqual(
        said()
          .slice(before)
          .filter((word) => word === 'held'),
        [],
      );
      assert.equal(typeof work, 'string');
      assert.equal((await store.get('work'))?.value, 'other');
      assert.equal((await store.get('owner'))?.value, 'other');
    } finally {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true });
    }
  });
}
