/** The thread behind the kernel: how it starts, ends, fails. What it does is the conformance suite's. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../base/clock.ts';
import { type Change, HOST } from '../contracts/change.ts';
import { createKernel, type KernelOptions } from './kernel.ts';

const OPTIONS: KernelOptions = {
  instance: { id: 'test', dataRoot: '/run/moor-test/data', execRoot: '/run/moor-test' },
  tableName: 'moortest',
  logger: silentLogger,
};
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
