import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { currentCpu, keepOff, letGo, threadId, wakeElsewhere } from './cpus.ts';

/** proc_pid_status(5); default: of the main thread, which runs the tests. */
const field = (name: string, file = '/proc/self/status'): string =>
  new RegExp(`^${name}:\\s+(.+)$`, 'm').exec(readFileSync(file, 'utf8'))?.[1] ?? '';

/** `0-2,5` */
const cpus = (list: string): number[] =>
  list.split(',').flatMap((range) => {
    const [from = 0, to = from] = range.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });

test('a thread is kept off the CPU of the caller, and let go again', async () => {
  assert.equal(String(threadId()), field('Pid'));
  const before = cpus(field('Cpus_allowed_list'));
  assert.equal(before.length, availableParallelism());
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     import(workerData).then(({ anywhere, threadId }) => {
       parentPort.on('message', () => { anywhere(); parentPort.postMessage(0); });
       parentPort.postMessage(threadId());
     });`,
    { eval: true, workerData: new URL('./cpus.ts', import.meta.url).href },
  );
  try {
    const [thread] = (await once(worker, 'message')) as [number];
    const allowed = (): number[] => cpus(field('Cpus_allowed_list', `/proc/self/task/${thread}/status`));
    wakeElsewhere(thread);
    const meanwhile = allowed();
    assert.equal(meanwhile.length, before.length === 1 ? 1 : before.length - 1);
    assert.ok(meanwhile.every((cpu) => before.includes(cpu)));
    worker.postMessage(0);
    await once(worker, 'message');
    assert.deepEqual(allowed(), before);
    const [cpu = 0] = before;
    assert.equal(keepOff([thread], cpu), true);
    assert.deepEqual(allowed(), before.length === 1 ? before : before.slice(1));
    assert.equal(letGo([thread]), true);
    assert.deepEqual(allowed(), before);
    assert.ok(before.includes(currentCpu()));
    assert.deepEqual(cpus(field('Cpus_allowed_list')), before);
  } finally {
    await worker.terminate();
  }
});

test('a thread that is gone is no error', () => {
  wakeElsewhere(0x3fffffff);
  assert.equal(letGo([threadId(), 0x3fffffff]), false);
});
