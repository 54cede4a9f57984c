import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Fd } from '../sys/fd.ts';
import { createUnpinnedNetns, withNetns } from '../sys/netns.ts';
import { procSys, restProcSys } from './proc-sys.ts';

/** Each needs two lookups: more than one mount serves. */
const NAMESPACES = 100;
const KEY = 'net/ipv4/ip_default_ttl';

const seen = (): string => readFileSync('/proc/self/mountinfo', 'utf8');
const before = seen();

/** Descriptors of this process that are the root of a procfs. */
const mounts = (): readonly string[] => readdirSync('/proc/self/fd').filter((fd) => target(fd) === '/');

function target(fd: string): string | null {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // The one that the folder was read by.
    return null;
  }
}

test('each namespace has its own value of a key, through one mount after the other, of which one is open', () => {
  using stack = new DisposableStack();
  const all: Fd[] = [];
  for (let i = 0; i < NAMESPACES; i += 1) {
    const netns = stack.use(createUnpinnedNetns());
    all.push(netns);
    withNetns(netns, () => writeFileSync(`${procSys()}/${KEY}`, String(100 + i)));
    assert.match(procSys(), /^\/proc\/self\/fd\/\d+\/sys$/);
    assert.equal(mounts().length, 1, mounts().join(' '));
  }
  for (const [i, netns] of all.entries()) {
    const args = [`--net=/proc/${process.pid}/fd/${netns.number}`, 'cat', `/proc/sys/${KEY}`];
    assert.equal(execFileSync('nsenter', args, { encoding: 'utf8' }).trim(), String(100 + i));
    assert.equal(withNetns(netns, () => readFileSync(`${procSys()}/${KEY}`, 'utf8')).trim(), String(100 + i));
  }
});

test('one that has served for long is replaced when there is time, not before', () => {
  const device = (): number => statSync(procSys()).dev;
  // Open files keep a file system, and so its number is nobody else's.
  const first = openSync(procSys(), 'r');
  restProcSys();
  const second = device();
  restProcSys();
  assert.equal(device(), second, 'it is new');
  for (let i = 0; i < 40; i += 1) assert.equal(device(), second);
  const open = openSync(procSys(), 'r');
  restProcSys();
  assert.notEqual(device(), second);
  for (const fd of [first, open]) closeSync(fd);
});

test('nobody else sees the mount, and who may not make one uses what is there', () => {
  procSys();
  assert.equal(seen(), before);
  const script = `import { procSys } from ${JSON.stringify(import.meta.resolve('./proc-sys.ts'))}; process.stdout.write(procSys() + procSys());`;
  const without = ['--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin', process.execPath, '--input-type=module'];
  assert.equal(execFileSync('setpriv', [...without, '-e', script], { encoding: 'utf8' }), '/proc/sys/proc/sys');
});
