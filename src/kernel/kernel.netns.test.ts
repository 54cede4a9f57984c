/** The thread behind the kernel: how it starts, ends, fails. What it does is the conformance suite's. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { silentLogger } from '../base/clock.ts';
import { type Change, HOST } from '../contracts/change.ts';
import { threadsNamed } from '../sys/threads.ts';
import { createKernel, type KernelOptions } from './kernel.ts';

const OPTIONS: KernelOptions = {
  instance: { id: 'test', dataRoot: '/run/moor-test/data', execRoot: '/run/moor-test' },
  tableName: 'moortest',
  logger: silentLogger,
};
/** A thread that is good for nothing but to be there. */
const idle = `require('node:worker_threads').parentPort.on('message', () => {}).postMessage(0)`;
const workerOf = (code: string): URL => new URL(`data:text/javascript,${encodeURIComponent(code)}`);

const bridge = (op: 'add' | 'remove'): Change => ({
  kind: 'link',
  op,
  netns: HOST,
  link: { name: 'tb0', up: true, kind: { type: 'bridge' } },
});

test('calls are answered in order, also those that are made at once', async () => {
  await using kernel = await createKernel(OPTIONS);
  const [made, during, removed, afterwards] = await Promise.all([
    kernel.apply([bridge('add')]),
    kernel.snapshot([HOST], ['links']),
    kernel.apply([bridge('remove')]),
    kernel.snapshot([HOST], ['links']),
  ]);
  assert.deepEqual([made, removed], [[{ state: 'changed' }], [{ state: 'changed' }]]);
  assert.ok(during[0]?.links.some(({ name }) => name === 'tb0'));
  assert.ok(!afterwards[0]?.links.some(({ name }) => name === 'tb0'));
  assert.deepEqual(await kernel.apply([]), []);
});

test('threads that work beside a list do so on other CPUs, until it is answered', async () => {
  const helper = new Worker(idle, { eval: true, name: 'moor-helper' });
  try {
    await once(helper, 'message');
    const [thread] = threadsNamed(['moor-helper']);
    const allowed = (): string =>
      /^Cpus_allowed:\s+(\S+)$/m.exec(readFileSync(`/proc/self/task/${thread}/status`, 'utf8'))?.[1] ?? '';
    const before = allowed();
    let asked = 0;
    // A number that nobody has: the threads are asked for again.
    const beside = (): readonly number[] => [thread ?? 0, ...(asked++ === 0 ? [0x3fffffff] : [])];
    await using kernel = await createKernel({ ...OPTIONS, beside });
    // Only a thread that waits for a list knows its CPU, and it need not have come to that when the list is there.
    let parted = 0;
    for (let n = 0; n < 1000 && parted < 2; n++) {
      kernel.expect([]);
      const soon = performance.now() + 0.2;
      while (performance.now() < soon);
      const made = kernel.apply([bridge(n % 2 === 0 ? 'add' : 'remove')]);
      if (allowed() !== before) parted++;
      assert.equal((await made)[0]?.state, 'changed');
      assert.equal(allowed(), before);
    }
    assert.equal(parted, availableParallelism() === 1 ? 0 : 2);
    assert.equal(asked, availableParallelism() === 1 ? 0 : 2);
    await kernel.apply([bridge('remove')]);
  } finally {
    await helper.terminate();
  }
});

test('a table comes back whole in one transaction, and when nft refuses that, each change is told', async () => {
  await using kernel = await createKernel(OPTIONS);
  const ref = { family: 'inet', name: 'moortest' } as const;
  const table: Change = {
    kind: 'nft-table',
    op: 'add',
    table: { ...ref, sets: [{ name: 'words', key: 'ifname', value: 'verdict' }], chains: [] },
  };
  const element = (i: number, value = 'accept'): Change => ({
    kind: 'nft-element',
    op: 'add',
    table: ref,
    element: { set: 'words', key: `"tb${i}"`, value },
  });
  const list = [table, ...Array.from({ length: 100 }, (_, i) => element(i))];
  const words = (): number => execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' }).match(/"tb\d+" : /g)?.length ?? 0;
  const states = async (changes: readonly Change[]): Promise<Record<string, number>> => {
    const results = await kernel.apply(changes, { keepGoing: true });
    return Object.fromEntries([...Map.groupBy(results, ({ state }) => state)].map(([state, some]) => [state, some.length]));
  };
  try {
    assert.deepEqual(await states(list), { changed: 101 });
    assert.equal(words(), 100);
    assert.deepEqual(await states(list), { already: 101 });
    assert.deepEqual(await states([...list, element(100), element(7, 'drop')]), { already: 101, changed: 1, failed: 1 });
    assert.equal(words(), 101);
  } finally {
    execFileSync('nft', ['delete', 'table', 'inet', 'moortest']);
  }
});

test('two kernels side by side, and watching twice', async () => {
  await using one = await createKernel(OPTIONS);
  await using two = await createKernel(OPTIONS);
  const heard: string[] = [];
  const stopFirst = await one.watch(({ type }) => heard.push(`first ${type}`));
  const stopSecond = await one.watch(({ type }) => heard.push(`second ${type}`));
  const listening = (): Promise<unknown> => one.facts();
  await two.apply([bridge('add')]);
  while (!heard.includes('second link')) await listening();
  assert.ok(heard.includes('first link'));
  await stopSecond();
  heard.length = 0;
  await two.apply([bridge('remove')]);
  while (!heard.includes('first link')) await listening();
  assert.ok(!heard.includes('second link'));
  await stopFirst();
});

test('a thread that cannot start says why', async () => {
  await assert.rejects(createKernel({ ...OPTIONS, worker: workerOf('throw new Error("no such luck")') }), {
    kind: 'internal',
    message: 'The kernel thread failed: no such luck',
  });
});

test('a thread that dies fails what waits for it and what comes later', async () => {
  const code = `import { parentPort } from 'node:worker_threads';
    parentPort.on('message', () => { throw new Error('out of luck'); });
    parentPort.postMessage({ ready: true });`;
  await using kernel = await createKernel({ ...OPTIONS, worker: workerOf(code) });
  const dead = { kind: 'internal', message: 'The kernel thread failed: out of luck' };
  await assert.rejects(kernel.facts(), dead);
  await assert.rejects(kernel.apply([bridge('add')]), dead);
});

test('after its end it answers no more', async () => {
  const kernel = await createKernel(OPTIONS);
  await kernel[Symbol.asyncDispose]();
  await kernel[Symbol.asyncDispose]();
  await assert.rejects(kernel.facts(), { kind: 'cancelled' });
});
