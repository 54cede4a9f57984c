import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { runText } from './fixture.ts';

const HEAD = `import { test } from 'node:test'; import { execFileSync, spawn } from 'node:child_process'; import { writeFileSync, mkdirSync } from 'node:fs';
const sh = (line) => execFileSync('sh', ['-c', line]);\n`;

test('a kernel test sees a fresh machine and may do with it what it likes', async () => {
  const outside = execFileSync('ip', ['-j', 'link'], { encoding: 'utf8' });
  const result = await runText(
    `${HEAD} import assert from 'node:assert';
     test('fresh', () => {
       assert.deepEqual(JSON.parse(sh('ip -j link').toString()).filter((l) => l.flags.includes('UP')).map((l) => l.ifname), ['lo']);
       assert.equal(sh('ls /sys/class/net/lo/address /sys/fs/cgroup | head -1').toString().trim(), '/sys/class/net/lo/address');
       sh('ip link add seen type bridge && test -d /sys/class/net/seen && ip link del seen');
       sh('ip netns add a && ip -n a link set lo up && ip netns del a');
       sh('nft add table inet t && nft delete table inet t');
     });
     test('orphans are reaped', async () => {
       const pid = sh('sleep 0.1 >/dev/null & echo $!').toString().trim();
       await new Promise((resolve) => setTimeout(resolve, 400));
       assert.throws(() => process.kill(Number(pid), 0), /ESRCH/);
     });`,
    'kernel',
  );
  assert.deepEqual(result.failures, [], result.output);
  assert.equal(result.passed, 2);
  assert.equal(execFileSync('ip', ['-j', 'link'], { encoding: 'utf8' }), outside);
});

test('a kernel test can look into the namespace of its runner', async () => {
  const here = execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' }).trim();
  const result = await runText(
    `${HEAD} import assert from 'node:assert';
     test('outer', () => {
       assert.equal(sh('nsenter --net=/run/outer-netns readlink /proc/self/ns/net').toString().trim(), '${here}');
       assert.notEqual(sh('readlink /proc/self/ns/net').toString().trim(), '${here}');
     });`,
    'kernel',
  );
  assert.deepEqual(result.failures, [], result.output);
});

test('whatever a file leaves behind is a failure', async () => {
  const { passed, failures } = await runText(
    `${HEAD} test('messy', () => {
       sh('ip link add left0 type bridge; ip netns add left1; nft add table inet left2; ip link set lo down');
       mkdirSync('/run/moor'); writeFileSync('/run/tmp/left3', '');
       sh('mkdir /run/left4 && mount -t tmpfs tmpfs /run/left4');
       spawn('sleep', ['77'], { stdio: 'ignore', detached: true }).unref();
     });`,
    'kernel',
  );
  assert.equal(passed, 1);
  const leaks = failures.map(({ error }) => error).join('\n');
  for (const expected of [
    /left a link: left0/,
    /left a file: \/run\/netns\/left1/,
    /left a nftables table: table inet left2/,
    /left a mount: \/run\/left4/,
    /left a process: \d+ sleep 77/,
    /left a file: \/run\/moor$/m,
    /left a file: \/run\/tmp\/left3/,
  ]) {
    assert.match(leaks, expected);
  }
  assert.ok(!existsSync('/run/left4'));
});

test('a hung kernel test takes everything it started with it', async () => {
  const { failures } = await runText(
    `${HEAD} test('stuck', () => new Promise(() => spawn('setsid', ['sleep', '4242'], { stdio: 'ignore' })));`,
    'kernel',
    2,
  );
  assert.deepEqual(failures, [
    { name: 'the file ends well', error: 'did not end within 2 s; the last test to start was: stuck' },
  ]);
  const commands = readdirSync('/proc').flatMap((pid) => {
    try {
      return /^\d+$/.test(pid) ? [execFileSync('cat', [`/proc/${pid}/cmdline`], { encoding: 'utf8', stdio: 'pipe' })] : [];
    } catch {
      return [];
    }
  });
  assert.ok(!commands.some((command) => command.includes('4242')));
});
