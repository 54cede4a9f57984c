import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fcntlH } from './constants.ts';
import { openFile } from './fd.ts';
import { createNetns, isNetns, listPins, netnsIdentity, openNetns, pinNetns, unpinNetns, withNetns } from './netns.ts';

const HERE = '/proc/thread-self/ns/net';

/** A directory whose pins are removed at the end. */
function scratch(): Disposable & { readonly directory: string; readonly path: (name: string) => string } {
  const directory = mkdtempSync(join(tmpdir(), 'moor-netns-'));
  return {
    directory,
    path: (name) => join(directory, name),
    [Symbol.dispose]() {
      for (const name of readdirSync(directory)) unpinNetns(join(directory, name));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const linksIn = (path: string): string => execFileSync('nsenter', [`--net=${path}`, 'ip', '-br', 'link'], { encoding: 'utf8' });

test('a namespace is made and pinned, and the thread is back', () => {
  using dir = scratch();
  const before = netnsIdentity(HERE);
  const inside = createNetns(dir.path('a'), () => netnsIdentity(HERE));
  assert.notEqual(inside, before);
  assert.equal(netnsIdentity(HERE), before);
  assert.equal(netnsIdentity(dir.path('a')), inside);
  assert.match(linksIn(dir.path('a')), /^lo +DOWN/);
  assert.deepEqual(listPins(dir.directory), [dir.path('a')]);
});

test('nothing is left when the work inside fails, or waits', () => {
  using dir = scratch();
  const before = netnsIdentity(HERE);
  const broken = (): never => {
    throw new RangeError('broken');
  };
  assert.throws(() => createNetns(dir.path('a'), broken), RangeError);
  assert.throws(() => createNetns(dir.path('a'), async () => 1), { kind: 'internal' });
  assert.equal(existsSync(dir.path('a')), false);
  assert.equal(netnsIdentity(HERE), before);
});

test('a pin is not overwritten, but a file that was left over is', () => {
  using dir = scratch();
  const first = createNetns(dir.path('a'), () => netnsIdentity(HERE));
  assert.throws(() => createNetns(dir.path('a'), () => 0), { kind: 'conflict' });
  assert.throws(() => pinNetns(HERE, dir.path('a')), { kind: 'conflict' });
  assert.equal(netnsIdentity(dir.path('a')), first);
  writeFileSync(dir.path('b'), '');
  createNetns(dir.path('b'), () => 0);
  assert.equal(isNetns(dir.path('b')), true);
});

test('a pin keeps the namespace of a process alive after its end', async () => {
  using dir = scratch();
  const child = spawn('unshare', ['--net', 'sh', '-c', 'ip link add br7 type bridge; echo ready; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    await new Promise((resolve) => child.stdout.once('data', resolve));
    pinNetns(`/proc/${child.pid}/ns/net`, dir.path('pin'));
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
  assert.match(linksIn(dir.path('pin')), /^br7 /m);
  assert.throws(() => pinNetns(`/proc/${child.pid}/ns/net`, dir.path('other')), { kind: 'not-found' });
  assert.equal(existsSync(dir.path('other')), false);
});

test('unpinning says whether there was one, and takes all mounts', () => {
  using dir = scratch();
  createNetns(dir.path('a'), () => 0);
  execFileSync('mount', ['--bind', '/proc/self/ns/net', dir.path('a')]);
  assert.equal(unpinNetns(dir.path('a')), true);
  assert.equal(existsSync(dir.path('a')), false);
  assert.ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes(dir.path('a')));
  assert.equal(unpinNetns(dir.path('a')), false);
  assert.equal(unpinNetns('/nonexistent/a'), false);
});

test('only network namespaces count as such', () => {
  using dir = scratch();
  createNetns(dir.path('netns'), () => 0);
  writeFileSync(dir.path('file'), 'x');
  execFileSync('mkfifo', [dir.path('fifo')]);
  writeFileSync(dir.path('uts'), '');
  execFileSync('mount', ['--bind', '/proc/self/ns/uts', dir.path('uts')]);
  assert.deepEqual(listPins(dir.directory), [dir.path('netns')]);
  assert.deepEqual(listPins(dir.path('nowhere')), []);
  for (const name of ['file', 'fifo', 'uts']) {
    assert.throws(() => openNetns(dir.path(name)), {
      kind: 'not-found',
      message: `Cannot open network namespace ${dir.path(name)}: it is not a network namespace`,
    });
  }
  assert.throws(() => openNetns(dir.path('nowhere')), {
    kind: 'not-found',
    message: `open ${dir.path('nowhere')}: no such file or directory (ENOENT)`,
  });
});

test('work inside a namespace sees its devices and sysctls, nested too, and comes back when it fails', () => {
  using dir = scratch();
  createNetns(dir.path('a'), () => 0);
  createNetns(dir.path('b'), () => 0);
  using a = openNetns(dir.path('a'));
  using b = openNetns(dir.path('b'));
  const before = netnsIdentity(HERE);
  const key = '/proc/sys/net/ipv4/conf/lo/forwarding';
  const host = readFileSync(key, 'utf8');
  const seen = withNetns(a, () => {
    writeFileSync(key, host === '0\n' ? '1' : '0');
    const inner = withNetns(b, () => [netnsIdentity(HERE), readFileSync(key, 'utf8')]);
    return [netnsIdentity(HERE), readFileSync(key, 'utf8'), ...inner];
  });
  assert.deepEqual(seen, [netnsIdentity(a), host === '0\n' ? '1\n' : '0\n', netnsIdentity(b), '0\n']);
  assert.equal(readFileSync(key, 'utf8'), host);
  assert.throws(
    () =>
      withNetns(a, () => {
        throw new RangeError('broken');
      }),
    RangeError,
  );
  assert.equal(netnsIdentity(HERE), before);
});

test('a descriptor that is no namespace is refused, and the thread stays', () => {
  const before = netnsIdentity(HERE);
  using file = openFile('/dev/null', fcntlH.O_RDONLY);
  assert.throws(() => withNetns(file, () => 0), { kind: 'invalid', message: /^setns \/dev\/null: / });
  assert.equal(netnsIdentity(HERE), before);
});
