// test-timeout: 300 s
/** The thread behind the resolver: how it starts, ends, dies and is replaced; what a flood, a crowd and nonsense leave behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Change } from '../../src/contracts/change.ts';
import type { Logger } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/clock.ts';
import { queryOf } from '../../src/dns/messages.testing.ts';
import { createResolver } from '../../src/dns/resolver.ts';
import { createKernel } from '../../src/kernel/kernel.ts';
import { planClient } from '../../src/dns/plan.ts';
import type { Fd } from '../../src/sys/fd.ts';
import { connectTo, send } from '../../src/sys/inet.ts';
import { openNetns, unpinNetns, withNetns } from '../../src/sys/netns.ts';
import { parseIp } from '../../src/base/ip.ts';
import { say } from '../support/say.ts';
import {
  addressTo,
  answerTo,
  Asker,
  clientOf,
  record,
  resolver,
  sandbox,
  short,
  status,
  Stream,
  upstreamServer,
} from './dns-lab.ts';

const DYING = new URL('./dns-dying-worker.child.ts', import.meta.url);
const workerOf = (code: string): URL => new URL(`data:text/javascript,${encodeURIComponent(code)}`);
const descriptors = (): number => readdirSync('/proc/self/fd').length;

for (const [how, code] of [
  ['exit', 7],
  ['throw', 1],
  ['dispose', 8],
] as const) {
  test(`a process that ends (${how}) does not wait for its thread`, async () => {
    await using stack = new AsyncDisposableStack();
    const place = await sandbox(stack, `dns-x-${how}`);
    const file = new URL('./dns-exit.child.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [file, place, how], { stdio: ['ignore', 'pipe', 'ignore'] });
    assert.deepEqual(await once(child, 'exit'), [code, null]);
  });
}

test('a thread that cannot start says why', async () => {
  const before = descriptors();
  await assert.rejects(createResolver({ logger: silentLogger, worker: workerOf('throw new Error("no such luck")') }), {
    kind: 'internal',
    message: 'The resolver thread failed: no such luck',
  });
  await assert.rejects(createResolver({ logger: silentLogger, worker: workerOf('') }), {
    message: 'The resolver thread has ended',
  });
  assert.equal(descriptors(), before);
});

test('a name that is told counts for the very next query, although nobody waits for the thread to hear of it', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-next');
  const names = await resolver(stack);
  await names.serve([clientOf(place)]);
  using asker = new Asker(place);
  for (let i = 0; i < 500; i++) {
    const one = record(`web${i}`, '10.9.0.2');
    names.put([one]);
    // The query is in the thread's socket before our event loop turns: only that wakes it.
    assert.deepEqual((await asker.ask(queryOf(`web${i}`, 'A', { id: i }))).answers, ['10.9.0.2']);
    names.remove([one.endpoint]);
    assert.deepEqual((await asker.ask(queryOf(`web${i}`, 'A', { id: i }))).answers, []);
  }
});

test('after its end nothing is asked of it, and nothing is left open', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-after');
  // What a first thread and a first look at a namespace leave open for good is not counted.
  await (await createResolver({ logger: silentLogger }))[Symbol.asyncDispose]();
  new Asker(place)[Symbol.dispose]();
  const before = descriptors();
  const names = await createResolver({ logger: silentLogger });
  names.put([record('web', '10.9.0.2')]);
  await names.serve([clientOf(place)]);
  assert.deepEqual(await short(place, 'web'), ['10.9.0.2']);
  await names[Symbol.asyncDispose]();
  await names[Symbol.asyncDispose]();
  assert.equal(descriptors(), before);
  await assert.rejects(names.status(), { kind: 'cancelled' });
  names.put([record('web', '10.9.0.2')]);
  names.remove([]);
});

for (const [how, file] of [
  ['of an error', '/run/dns-die'],
  ['at the end of its memory', '/run/dns-eat'],
] as const) {
  test(`a thread that dies ${how} is replaced, and the next one knows everything`, async () => {
    await using stack = new AsyncDisposableStack();
    const place = await sandbox(stack, 'dns-die');
    const errors: string[] = [];
    const logger: Logger = { ...silentLogger, error: (_, message) => errors.push(message) };
    const names = await resolver(stack, { logger, worker: DYING });
    const web = record('web', '10.9.0.2');
    const gone = record('gone', '10.9.0.3');
    names.put([web, gone]);
    names.remove([gone.endpoint]);
    await names.serve([clientOf(place)]);
    using stream = new Stream(place);
    stream.query(queryOf('web', 'A'));
    assert.deepEqual((await stream.next())?.answers, ['10.9.0.2']);
    writeFileSync(file, '');
    // Answered by the next one.
    const { clients, records, queries } = await names.status();
    assert.deepEqual([clients, records, queries], [1, 1, 0]);
    assert.deepEqual(errors, ['The resolver thread failed']);
    assert.equal(await stream.next(), null, 'connections of the old one are closed');
    assert.deepEqual(await short(place, 'web'), ['10.9.0.2']);
    assert.equal(await status(place, 'gone'), 'SERVFAIL');
    // Once more, with a query on the way.
    writeFileSync(file, '');
    await names.serve([clientOf(place, { links: { w: 'web' } })]).catch(() => {});
    assert.deepEqual(await short(place, '+tcp', 'web'), ['10.9.0.2']);
  });
}

test('a call of which every thread dies is given up', async () => {
  await using stack = new AsyncDisposableStack();
  const worker = workerOf(`
    import { parentPort } from 'node:worker_threads';
    parentPort.postMessage({ ready: true });
    parentPort.once('message', () => { throw new Error('dies of it'); });`);
  const names = stack.use(await createResolver({ logger: silentLogger, worker }));
  await assert.rejects(names.status(), { kind: 'internal', message: 'The resolver thread failed again and again' });
});

/** Kilobytes of this process that are in memory. */
const resident = (): number => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

test('a hundred thousand malformed packets and more at the real socket: no answer is wrong, and memory stays as it was', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-flood');
  const errors: unknown[] = [];
  const logger: Logger = { ...silentLogger, error: (fields) => errors.push(fields) };
  const names = await resolver(stack, { logger });
  names.put([record('web', '10.9.0.2')]);
  const upstream = stack.use(await upstreamServer('127.0.7.1', (heard) => heard.reply(addressTo(heard, '192.0.2.1'))));
  await names.serve([clientOf(place, { upstreams: [upstream.upstream] })]);
  const valid = [queryOf('web', 'A'), queryOf('WEB.my_net', 'ANY', { size: 1232 }), queryOf('x.example', 'TXT', { size: 512 })];
  let seed = 77;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const packet = (): Buffer => {
    const bytes = Buffer.from(valid[random(valid.length)] ?? []);
    for (let n = random(3); n >= 0; n--) bytes[random(bytes.length)] = random(256);
    return random(3) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
  };
  const { fd } = connected(stack, place);
  using asker = new Asker(place);
  const flood = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      send(fd, packet());
      // In between a real one, which also keeps us from sending more than can wait.
      if (i % 200 === 0) assert.deepEqual((await asker.ask(queryOf('web', 'A', { id: i & 0xffff }))).answers, ['10.9.0.2']);
    }
  };
  await flood(100_000);
  const before = resident();
  await flood(100_000);
  const grown = resident() - before;
  const { queries, dropped, forwarded } = await names.status();
  say(`${queries} queries, ${dropped} dropped, ${forwarded} forwarded; RSS grew by ${grown} KB during the second 100,000`);
  assert.deepEqual(errors, []);
  assert.ok(queries > 190_000 && dropped > 10_000 && forwarded > 1000);
  // A leak of a hundred bytes a packet would be 10 MB; what moves below that is the collector's.
  assert.ok(grown < 10_000, `${grown} KB`);
});

test('a server whose answers are broken in every way harms nobody', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-broken');
  const errors: unknown[] = [];
  const logger: Logger = { ...silentLogger, error: (fields) => errors.push(fields) };
  const names = await resolver(stack, { logger });
  let seed = 99;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const breaking = await upstreamServer('127.0.7.2', (heard) => {
    const answer = answerTo(heard, {
      answers: [
        { type: 'CNAME', name: heard.query.name, ttl: 60, data: 'y.example' },
        { type: 'A', name: 'y.example', ttl: 60, data: '192.0.2.1' },
      ],
    });
    const records = 12 + heard.query.name.length + 2 + 4;
    // Counts, or what follows the question; else it would not be taken for an answer at all, and waited for.
    for (let n = random(4); n > 0; n--)
      answer[random(2) === 0 ? 6 + random(6) : records + random(answer.length - records)] = random(256);
    heard.reply(random(4) === 0 ? answer.subarray(0, records + random(answer.length - records)) : answer);
  });
  stack.use(breaking);
  await names.serve([clientOf(place, { upstreams: [breaking.upstream] })]);
  using asker = new Asker(place);
  const codes = new Map<number, number>();
  for (let i = 0; i < 3000; i++) {
    // The answer itself may be nonsense to the other decoder: it is the server's. The header is ours.
    const bytes = await asker.askRaw(queryOf(`x${i % 1500}.example`, 'A', { id: i }));
    assert.equal(((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0), i);
    codes.set((bytes[3] ?? 0) & 15, (codes.get((bytes[3] ?? 0) & 15) ?? 0) + 1);
  }
  assert.deepEqual(errors, []);
  assert.ok((codes.get(0) ?? 0) > 100 && (codes.get(2) ?? 0) > 100, JSON.stringify([...codes]));
});

/** A bare socket towards the resolver: answers are left where they are. */
function connected(stack: AsyncDisposableStack, place: string): { readonly fd: Fd } {
  using netns = openNetns(place);
  const fd = withNetns(netns, () => connectTo('udp', { address: parseIp('127.0.0.11'), port: 53 }));
  stack.defer(() => fd.close());
  return { fd };
}

test('a thousand sandboxes: three descriptors each, and all are answered', async () => {
  await using stack = new AsyncDisposableStack();
  const names = await resolver(stack);
  names.put([record('web', '10.9.0.2')]);
  const count = 1000;
  const instance = { id: 'test', dataRoot: '/run/moor-test/data', execRoot: '/run/moor-test' };
  const places = Array.from({ length: count }, (_, i) => `/run/netns/dns-k${i}`);
  stack.defer(() => {
    for (const place of places) unpinNetns(place);
  });
  {
    await using kernel = await createKernel({ instance, tableName: 'moortest', logger: silentLogger });
    await kernel.apply([...places.map((path): Change => ({ kind: 'netns', op: 'add', path })), ...places.flatMap(planClient)]);
  }
  // What this thread's first look at a namespace leaves open for good is not counted.
  new Asker(places[0] ?? '')[Symbol.dispose]();
  const [fds, memory] = [descriptors(), resident()];
  const started = performance.now();
  const clients = places.map((place) => clientOf(place));
  await names.serve(clients);
  const took = performance.now() - started;
  assert.equal(descriptors() - fds, 3 * count);
  say(`1,000 sandboxes served in ${took.toFixed(0)} ms, RSS grew by ${resident() - memory} KB, 3 descriptors each`);
  for (const place of places) {
    using asker = new Asker(place);
    assert.deepEqual((await asker.ask(queryOf('web', 'A'))).answers, ['10.9.0.2']);
  }
  await names.serve(clients);
  assert.equal((await names.status()).clients, count);
  await names.stop(clients.map(({ sandbox: id }) => id));
  assert.equal(descriptors(), fds);
});
