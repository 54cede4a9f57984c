import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { threadId } from './cpus.ts';
import { putBehind, threadsNamed } from './threads.ts';

test('threads are found by their names, and one of them waits for its turn', async () => {
  const code = `require('node:worker_threads').parentPort.on('message', () => {}).postMessage(0)`;
  const worker = new Worker(code, { eval: true, name: 'moor-named' });
  try {
    await once(worker, 'message');
    const found = threadsNamed(['moor-named', 'moor-nobody']);
    assert.equal(found.length, 1);
    const [thread = 0] = found;
    assert.notEqual(thread, threadId());
    putBehind(thread);
    // The 41st field is the policy (proc_pid_stat(5)), and 3 is SCHED_BATCH; the name in brackets may hold spaces.
    const policy = (of: number): string | undefined =>
      readFileSync(`/proc/self/task/${of}/stat`, 'latin1').split(') ')[1]?.split(' ')[41 - 3];
    assert.equal(policy(thread), '3');
    assert.equal(policy(threadId()), '0');
  } finally {
    await worker.terminate();
  }
  assert.deepEqual(threadsNamed(['moor-named']), []);
  putBehind(0x3fffffff);
});
