import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer as createNetServer } from 'node:net';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import Fastify from 'fastify';
import { silentLogger } from '../../base/clock.ts';
import { groupId, listen, type Listening } from './listen.ts';
import { takePidfile } from './pidfile.ts';

const directory = mkdtempSync('/tmp/moor-listen-');
after(() => rmSync(directory, { recursive: true, force: true }));

const start = (path: string): Promise<Listening> => {
  const app = Fastify();
  app.get('/slow', async () => {
    await sleep(100);
    return 'done';
  });
  return listen({ app, addresses: [{ type: 'unix', path }], group: null, logger: silentLogger });
};

test('the socket is born with mode 0660 and gone after the end', async () => {
  const path = `${directory}/new/a.sock`;
  const listening = await start(path);
  assert.equal(statSync(path).mode & 0o777, 0o660);
  assert.deepEqual(listening.addresses, [`unix://${path}`]);
  await listening.close();
  assert.equal(existsSync(path), false);
});

test('the socket of a dead process is replaced, a live one and a file are not', async () => {
  const path = `${directory}/b.sock`;
  // A process that binds and dies without removing it.
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  assert.equal(existsSync(path), true);
  const listening = await start(path);
  await listening.close();

  const live = createNetServer().listen(path);
  await new Promise((done) => live.once('listening', done));
  await assert.rejects(start(path), { kind: 'conflict', message: /another process listens there already$/ });
  assert.equal(existsSync(path), true);
  live.close();

  writeFileSync(`${directory}/file`, 'x');
  await assert.rejects(start(`${directory}/file`), { kind: 'conflict', message: /exists and is not a socket$/ });
});

test('a group by name and number', () => {
  assert.equal(groupId('root'), 0);
  assert.equal(groupId('4711'), 4711);
  assert.equal(groupId('no such group'), null);
});

test('a pidfile is held by one live daemon', () => {
  const path = `${directory}/run/moord.pid`;
  {
    using held = takePidfile(path);
    assert.ok(held);
    assert.equal(existsSync(path), true);
    using again = takePidfile(path);
    assert.ok(again, 'by ourselves: a restart in place');
  }
  assert.equal(existsSync(path), false);
  const holder = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', 'moord'], { stdio: 'ignore' });
  try {
    writeFileSync(path, String(holder.pid));
    const text = `ensure moord is not running or delete ${path}: process with PID ${holder.pid} is still running`;
    assert.throws(() => takePidfile(path), { kind: 'conflict', message: text });
  } finally {
    holder.kill('SIGKILL');
  }
  writeFileSync(path, '1');
  {
    using free = takePidfile(path);
    assert.ok(free, 'pid 1 lives, but is no daemon of ours');
  }
  writeFileSync(path, '');
  using half = takePidfile(path);
  assert.ok(half, 'one that a crash left empty');
  assert.equal(readFileSync(path, 'utf8'), String(process.pid));
});

test('a pidfile is a file of its own: no link is followed, and nothing else is overwritten', () => {
  const target = `${directory}/precious`;
  writeFileSync(target, 'root:x:0:0\n');
  const link = `${directory}/link.pid`;
  symlinkSync(target, link);
  assert.throws(() => takePidfile(link), { kind: 'conflict', message: `Cannot use pidfile ${link}: it is a symbolic link` });
  symlinkSync(`${directory}/not-there`, `${directory}/dangling.pid`);
  assert.throws(() => takePidfile(`${directory}/dangling.pid`), { kind: 'conflict', message: /symbolic link/ });
  assert.throws(() => takePidfile(target), { kind: 'conflict', message: /holds something else than a pid$/ });
  assert.equal(readFileSync(target, 'utf8'), 'root:x:0:0\n');
  assert.throws(() => takePidfile(directory), { kind: 'conflict', message: /not a regular file$/ });
  execFileSync('mkfifo', [`${directory}/fifo.pid`]);
  assert.throws(() => takePidfile(`${directory}/fifo.pid`), { kind: 'conflict', message: /not a regular file$/ });
  // What became of it while we ran is left alone.
  const held = takePidfile(`${directory}/taken.pid`);
  rmSync(`${directory}/taken.pid`);
  symlinkSync(target, `${directory}/taken.pid`);
  held[Symbol.dispose]();
  assert.equal(existsSync(`${directory}/taken.pid`), true);
});
