import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { Cpus, threadId } from './cpus.ts';

/** proc_pid_status(5), of the main thread, which runs the tests. */
const field = (name: string): string =>
  new RegExp(`^${name}:\\s+(.+)$`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';

/** `0-2,5` */
const cpus = (list: string): number[] =>
  list.split(',').flatMap((range) => {
    const [from = 0, to = from] = range.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });

test('a thread is kept off the CPU of the caller, and let go again', () => {
  assert.equal(String(threadId()), field('Pid'));
  const before = cpus(field('Cpus_allowed_list'));
  assert.equal(before.length, availableParallelism());
  const set = new Cpus();
  set.elsewhere(threadId());
  const meanwhile = cpus(field('Cpus_allowed_list'));
  set.anywhere();
  assert.deepEqual(cpus(field('Cpus_allowed_list')), before);
  assert.equal(meanwhile.length, before.length === 1 ? 1 : before.length - 1);
  assert.ok(meanwhile.every((cpu) => before.includes(cpu)));
});

test('a thread that is gone is no error', () => {
  new Cpus().elsewhere(0x3fffffff);
});
