// test-timeout: 120 s
/** `kill -9` of the daemon: what runs does not notice, and afterwards nothing is missing. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestDaemon } from '../support/daemon.ts';
import { CLIS, daemonWithBusybox, type Docker, dockerOf } from '../support/docker.ts';
import { until } from '../support/snapshot.ts';

let daemon: TestDaemon;
let docker: Docker;
before(async () => {
  daemon = await daemonWithBusybox();
  docker = dockerOf(daemon);
});
after(() => daemon[Symbol.asyncDispose]());

const state = (name: string): Promise<string> =>
  docker.ok('inspect', '--format', '{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}', name);

/** Milliseconds without a daemon: a hundred packets, and as many lines. */
const OUTAGE_MS = 1000;

test('ping -i 0.01 from one container to another: no packet is lost', async () => {
  await docker.ok('network', 'create', '--subnet', '10.77.0.0/24', 'pinged');
  await docker.ok('run', '-d', '--name', 'target', '--network', 'pinged', '--ip', '10.77.0.2', 'busybox', 'sleep', '1000');
  await docker.ok('run', '-d', '--name', 'pinger', '--network', 'pinged', 'busybox', 'ping', '-i', '0.01', '10.77.0.2');
  const received = async (): Promise<number> => (await docker.ok('logs', 'pinger')).split('\n').length;
  assert.ok(await until(async () => (await received()) > 50));
  const before = await received();

  assert.equal(await daemon.stop('SIGKILL'), 137);
  await sleep(OUTAGE_MS);
  await daemon.start();
  assert.ok(await until(async () => (await received()) > before + 100));

  // ping prints its account when it is interrupted.
  await docker.ok('kill', '--signal', 'INT', 'pinger');
  await docker.ok('wait', 'pinger');
  const log = await docker.ok('logs', 'pinger');
  const [, sent, answered] = /(\d+) packets transmitted, (\d+) packets received, 0% packet loss/.exec(log) ?? [];
  assert.ok(Number(sent) > before + 100, log.slice(-500));
  const sequence = log.match(/(?<= seq=)\d+(?= ttl)/g)?.map(Number);
  assert.deepEqual(
    sequence,
    Array.from({ length: Number(answered) }, (_, i) => i),
    'each answer is in the log, in order',
  );
  // The last one may have been under way at the interrupt.
  assert.ok(Number(sent) - Number(answered) <= 1, `${sent} sent, ${answered} answered`);
  await docker.ok('rm', '-f', 'pinger', 'target');
  await docker.ok('network', 'rm', 'pinged');
});

test('logs -f: what had come is a beginning of the log, and the log is complete', async () => {
  const COUNT = 300;
  const script = `i=0; while [ $i -lt ${COUNT} ]; do echo line $i; usleep 10000; i=$((i+1)); done`;
  await docker.ok('run', '-d', '--name', 'talker', 'busybox', 'sh', '-c', script);
  const follower = spawn(CLIS[0] ?? 'docker', ['-H', daemon.host, 'logs', '-f', 'talker'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let seen = '';
  follower.stdout.setEncoding('utf8').on('data', (text: string) => (seen += text));
  const closed = once(follower, 'close');
  assert.ok(await until(() => seen.split('\n').length > 50));

  assert.equal(await daemon.stop('SIGKILL'), 137);
  await closed;
  await sleep(OUTAGE_MS);
  await daemon.start();

  const whole = Array.from({ length: COUNT }, (_, i) => `line ${i}`).join('\n');
  assert.equal(await docker.ok('logs', '-f', 'talker'), whole, 'a new follower gets all, and ends with the container');
  assert.equal(await docker.ok('logs', 'talker'), whole);
  assert.ok(`${whole}\n`.startsWith(seen), seen.slice(-200));
  assert.equal(await state('talker'), 'exited 0 0');
  await docker.ok('rm', 'talker');
});

test('what ends during the outage shows its true exit code, goes when it is --rm, starts again by its policy', async () => {
  const dies = (name: string, code: number, ...flags: readonly string[]): Promise<string> =>
    docker.ok(
      'run',
      '-d',
      '--name',
      name,
      ...flags,
      'busybox',
      'sh',
      '-c',
      `while [ ! -e /tmp/go ]; do usleep 20000; done; rm /tmp/go; exit ${code}`,
    );
  const pids = async (...names: readonly string[]): Promise<readonly number[]> =>
    (await docker.ok('inspect', '--format', '{{.State.Pid}}', ...names)).split('\n').map(Number);
  await dies('seven', 7);
  await dies('zero', 0);
  await dies('gone', 1, '--rm');
  await dies('again', 3, '--restart', 'on-failure:3');
  await docker.ok('run', '-d', '--name', 'killed', 'busybox', 'sleep', '1000');
  await docker.ok('run', '-d', '--name', 'lives', 'busybox', 'sleep', '1000');
  const [lives] = await pids('lives');
  const all = await pids('seven', 'zero', 'gone', 'again');
  const [killed] = await pids('killed');

  assert.equal(await daemon.stop('SIGKILL'), 137);
  // The daemon's pids are those of its PID namespace.
  for (const pid of all) await daemon.inside('touch', `/proc/${pid}/root/tmp/go`);
  await daemon.inside('kill', '-9', String(killed));
  const running = async (): Promise<string> =>
    (
      await daemon.inside(
        'sh',
        '-c',
        'for p in "$@"; do [ -e /proc/$p ] && echo $p; done; true',
        'sh',
        ...all.map(String),
        String(killed),
      )
    ).stdout;
  assert.ok(await until(async () => (await running()) === ''), 'they end without a daemon');
  await daemon.start();

  assert.equal(await state('seven'), 'exited 7 0');
  assert.equal(await state('zero'), 'exited 0 0');
  assert.equal(await state('killed'), 'exited 137 0');
  assert.equal(await state('lives'), 'running 0 0');
  assert.deepEqual(await pids('lives'), [lives]);
  assert.equal(await docker.ok('exec', 'lives', 'echo', 'still here'), 'still here');
  assert.ok(await until(async () => (await docker.ok('ps', '-aq', '--filter', 'name=gone')) === ''), '--rm');
  assert.ok(await until(async () => /^running 0 [1-9]/.test(await state('again'))), await state('again'));
  await docker.ok('rm', '-f', 'seven', 'zero', 'again', 'killed', 'lives');
});
