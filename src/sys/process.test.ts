import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { errnoKind, errnoName, hasCode, kernelError } from './errors.ts';
import { fcntlH } from './constants.ts';
import { openFile } from './fd.ts';
import { clearEvent, openEvent, pollReadable, signalEvent, watchReadable } from './poll.ts';
import { hasExited, openPid, pidExit, setThreadName, signalPid } from './process.ts';

const url = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);

/** Runs a module's function in a process of its own, which then becomes another program. */
function become(
  argv: readonly string[],
  before = '',
): ReturnType<typeof spawnSync> & { readonly stdout: string; readonly stderr: string } {
  const code = `import(${url('./process.ts')}).then((m) => { ${before}; m.execInPlace(${JSON.stringify(argv)}); }).catch((e) => { console.error(e.kind, e.message); process.exitCode = 9; });`;
  return spawnSync(process.execPath, ['-e', code], { encoding: 'utf8', env: { ...process.env, MOOR_TEST: 'a b=c' } });
}

test('a program takes the place of this one: same process, arguments, environment, no signal ignored', () => {
  const { status, stdout, stderr } = become([
    'sh',
    '-c',
    'echo "$1|$MOOR_TEST"; sed -n "/^Sig[BIC]/p" /proc/self/status; exit 5',
    'sh',
    'x  y',
  ]);
  assert.equal(stderr, '');
  assert.equal(status, 5);
  const [words, ...masks] = stdout.trimEnd().split('\n');
  assert.equal(words, 'x  y|a b=c');
  // Signals 32 and 33 are the C library's: what posix_spawn(3) starts, as make does with everything, has them ignored for good.
  const own = 0b11n << 31n;
  const shown = masks.map((line) => line.split(':\t')).map(([name, mask]) => [name, BigInt(`0x${mask}`) & ~own]);
  assert.deepEqual(shown, [
    ['SigBlk', 0n],
    ['SigIgn', 0n],
    ['SigCgt', 0n],
  ]);
});

test('standard streams are blocking again, and nothing that we opened is inherited', () => {
  const { stdout } = become(['sh', '-c', 'ls -l /proc/self/fd; grep flags /proc/self/fdinfo/1'], 'process.stdout.write("")');
  const [fds = '', flags = ''] = stdout.split('flags:');
  assert.match(fds, / 2 -> /);
  // Node's event loop has descriptors of this kind.
  assert.doesNotMatch(fds, /anon_inode/);
  assert.equal(Number.parseInt(flags.trim(), 8) & fcntlH.O_NONBLOCK, 0);
});

test('a program that is not there is an error, and this one goes on', () => {
  const { status, stderr } = become(['moor-no-such-program']);
  assert.equal(status, 9);
  assert.equal(stderr, 'not-found exec moor-no-such-program: no such file or directory (ENOENT)\n');
  assert.match(become(['/etc/passwd']).stderr, /^forbidden exec \/etc\/passwd: permission denied \(EACCES\)/);
});

test('the end of a process is waited for without blocking', async () => {
  const child = spawn('sleep', ['60']);
  using pidfd = openPid(child.pid ?? 0);
  assert.equal(hasExited(pidfd), false);
  const waiting = pidExit(pidfd);
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  clearInterval(timer);
  assert.ok(turns > 0);
  const reaped = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
  assert.equal(signalPid(pidfd, 'SIGTERM'), true);
  await waiting;
  assert.equal(hasExited(pidfd), true);
  assert.equal(await reaped, 'SIGTERM');
  assert.equal(signalPid(pidfd, 'SIGTERM'), false);
  assert.throws(() => openPid(child.pid ?? 0), { kind: 'not-found' });
});

test('waiting ends with its signal', async () => {
  using own = openPid(process.pid);
  const stop = new AbortController();
  const waiting = pidExit(own, stop.signal);
  stop.abort();
  await assert.rejects(waiting, { kind: 'cancelled', message: `Cannot wait for process ${process.pid}: cancelled` });
  await assert.rejects(pidExit(own, AbortSignal.abort()), { kind: 'cancelled' });
});

test('events wake a poll, time-outs end it', () => {
  using a = openEvent();
  using b = openEvent();
  assert.deepEqual(pollReadable([a, b], 0), []);
  assert.equal(clearEvent(b), false);
  signalEvent(b);
  signalEvent(b);
  assert.deepEqual(pollReadable([a, b], -1), [1]);
  assert.equal(clearEvent(b), true);
  assert.deepEqual(pollReadable([a, b], 1), []);
});

test('a worker that blocks in a poll is woken by an event of the main thread', async () => {
  using wake = openEvent();
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     import(${url('./poll.ts')}).then(({ pollReadable }) => {
       parentPort.postMessage('blocking');
       parentPort.postMessage(pollReadable([{ number: workerData }], -1));
     });`,
    { eval: true, workerData: wake.number },
  );
  const messages: unknown[] = [];
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  worker.on('message', (message) => {
    messages.push(message);
    if (message === 'blocking') signalEvent(wake);
  });
  assert.equal(await ended, 0);
  assert.deepEqual(messages, ['blocking', [0]]);
});

test('the loop calls back while something can be read, until disposed', async () => {
  using event = openEvent();
  const watch = await new Promise<Disposable>((resolve) => {
    const handle = watchReadable(event, () => resolve(handle));
    // A collected handle would stop listening in silence.
    globalThis.gc?.();
    signalEvent(event);
  });
  watch[Symbol.dispose]();
  watch[Symbol.dispose]();
  assert.equal(clearEvent(event), true);
});

test('descriptors are closed once', () => {
  const count = (): number => readdirSync('/proc/self/fd').length;
  const before = count();
  const fd = openFile('/dev/null', fcntlH.O_RDONLY);
  assert.equal(count(), before + 1);
  const { number } = fd;
  fd.close();
  using other = openFile('/dev/null', fcntlH.O_RDONLY);
  assert.equal(other.number, number);
  fd.close();
  assert.equal(fd.number, -1);
  assert.equal(count(), before + 1);
});

test('errors have a kind, a code and the words of the kernel', () => {
  assert.equal(errnoName(17), 'EEXIST');
  assert.equal(errnoName(54), 'EXFULL');
  assert.equal(errnoName(4095), 'E4095');
  assert.equal(errnoKind(95), 'unsupported');
  assert.equal(errnoKind(4095), 'internal');
  const error = kernelError('ip link set x up', 22, 'Device is wrong.');
  assert.equal(error.message, 'ip link set x up: Device is wrong (EINVAL)');
  assert.deepEqual(error.kernel, { operation: 'ip link set x up', errno: 22, code: 'EINVAL', extack: 'Device is wrong.' });
  assert.equal(kernelError('x', 54).message, 'x: exchange full (EXFULL)');
  assert.equal(hasCode(error, 'ENOENT', 'EINVAL'), true);
  assert.equal(hasCode(error, 'ENOENT'), false);
  assert.equal(hasCode(new Error('EINVAL'), 'EINVAL'), false);
  assert.throws(() => setThreadName('sixteen-bytes-xx'), { kind: 'invalid' });
});

test('the end of a process carries on what waits for it, in a program where nothing else happens', () => {
  // A process that is no child of the program: no SIGCHLD wakes it. The first poll of a process works by accident, the second did not.
  const code = `import(${url('./process.ts')}).then(async (m) => {
    setTimeout(() => process.exit(9), 20_000);
    for (const pid of process.argv.slice(1)) await m.pidExit(m.openPid(Number(pid)));
    process.exit(0);
  });`;
  const children = ['0.5', '1'].map((seconds) => spawn('sleep', [seconds]));
  const pids = children.map(({ pid }) => String(pid));
  assert.equal(spawnSync(process.execPath, ['-e', code, ...pids]).status, 0);
});
