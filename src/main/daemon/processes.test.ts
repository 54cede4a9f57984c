import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { ProcessRef } from '../../model/sandbox.ts';
import { processes } from './processes.ts';

/** The name of the command is one that a careless reading of /proc/PID/stat stumbles over. */
function start(script = 'exec -a "a) Z (b" sleep 60'): { readonly child: ChildProcess; readonly ref: ProcessRef } {
  const child = spawn('bash', ['-c', script], { stdio: 'ignore' });
  const pid = child.pid ?? 0;
  const startTime = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ')[19] ?? '';
  return { child, ref: { pid, startTime, command: ['sleep'] } };
}

test('alive: this process and no other under its number', async () => {
  const { child, ref } = start();
  assert.equal(processes.alive(ref), true);
  assert.equal(processes.alive({ ...ref, startTime: '1' }), false, 'an earlier owner of the pid');
  const ended = processes.ended(ref, AbortSignal.timeout(10_000));
  child.kill('SIGKILL');
  await ended;
  assert.equal(processes.alive(ref), false);
  await processes.ended(ref, AbortSignal.timeout(1000));
});

test('waiting can be given up', async () => {
  const { child, ref } = start();
  await assert.rejects(processes.ended(ref, AbortSignal.timeout(20)), { kind: 'cancelled' });
  child.kill('SIGKILL');
});

test('stop asks, then kills, and leaves others alone', async () => {
  const polite = start();
  await processes.stop({ ...polite.ref, startTime: '1' }, 1000);
  assert.equal(processes.alive(polite.ref), true, 'not the one that was meant');
  await processes.stop(polite.ref, 10_000);
  assert.equal(processes.alive(polite.ref), false);
  await processes.stop(polite.ref, 0);

  const stubborn = start('trap "" TERM; while :; do sleep 0.01; done');
  await processes.stop(stubborn.ref, 50);
  assert.equal(processes.alive(stubborn.ref), false);
});
