/** sys against the machine: TUN devices, libnftables, sd_notify, moving into a sandbox. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fcntlH, socketH } from './constants.ts';
import { Fd, openFile } from './fd.ts';
import { libc } from './libc.ts';
import { openNft } from './libnftables.ts';
import { createNetns, openNetns, unpinNetns, withNetns } from './netns.ts';
import { notifySystemd } from './notify.ts';
import { createTun, removeTun } from './tun.ts';

interface Place extends Disposable {
  readonly directory: string;
  readonly pin: string;
  readonly inside: <T>(body: () => T) => T;
  readonly run: (command: string) => string;
}

/** A directory and a pinned namespace. */
function place(): Place {
  const directory = mkdtempSync(join(tmpdir(), 'moor-sys-'));
  const pin = join(directory, 'ns');
  createNetns(pin, () => 0);
  const netns = openNetns(pin);
  return {
    directory,
    pin,
    inside: (body) => withNetns(netns, body),
    run: (command) => execFileSync('nsenter', [`--net=${pin}`, 'sh', '-c', command], { encoding: 'utf8' }),
    [Symbol.dispose]() {
      netns.close();
      unpinNetns(pin);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const url = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);

test('TUN and TAP devices stay until they are removed', () => {
  using at = place();
  at.inside(() => {
    createTun('tun7', 'tun', { owner: 54321 });
    createTun('tap7', 'tap');
    createTun('tap7', 'tap');
  });
  const shown = JSON.parse(at.run('ip -j -d link')) as {
    ifname: string;
    linkinfo?: { info_kind: string; info_data: { type: string; user?: string | number } };
  }[];
  const devices = shown
    .filter(({ linkinfo }) => linkinfo?.info_kind === 'tun')
    .map(({ ifname, linkinfo }) => [ifname, linkinfo?.info_data.type]);
  assert.deepEqual(devices, [
    ['tun7', 'tun'],
    ['tap7', 'tap'],
  ]);
  assert.equal(String(shown.find(({ ifname }) => ifname === 'tun7')?.linkinfo?.info_data.user), '54321');
  at.inside(() => {
    assert.throws(() => createTun('tun7', 'tap'), { kind: 'invalid' });
    assert.throws(() => createTun('a-name-of-sixteen', 'tap'), { kind: 'invalid', message: /it is not 1 to 15 bytes/ });
    removeTun('tun7', 'tun');
    removeTun('tap7', 'tap');
  });
  assert.doesNotMatch(at.run('ip -br link'), /7/);
});

describe('libnftables', () => {
  test('runs a transaction in its namespace and lists as nft -j does', () => {
    using at = place();
    const { nft: opened, reason } = at.inside(openNft);
    assert.ok(opened, `no libnftables: ${reason}`);
    using nft = opened;
    assert.deepEqual(nft.run('add table inet moor; add chain inet moor c { type filter hook forward priority 0; }'), {
      rc: 0,
      output: '',
      error: '',
    });
    const listed = nft.run('list ruleset', true);
    assert.equal(listed.rc, 0);
    assert.deepEqual(JSON.parse(listed.output), JSON.parse(at.run('nft -j list ruleset')));
    const json = JSON.stringify({ nftables: [{ add: { table: { family: 'ip', name: 'second' } } }] });
    assert.equal(nft.run(json, true).rc, 0);
    assert.match(at.run('nft list tables'), /^table inet moor\ntable ip second$/m);
  });

  test('a transaction that fails changes nothing and says why, once', () => {
    using at = place();
    const { nft: opened } = at.inside(openNft);
    assert.ok(opened);
    using nft = opened;
    const failed = nft.run('add table inet moor; add rule inet moor nowhere accept');
    assert.notEqual(failed.rc, 0);
    assert.match(failed.error, /No such file or directory/);
    assert.equal(at.run('nft list tables'), '');
    assert.deepEqual(nft.run('list tables'), { rc: 0, output: '', error: '' });
    nft[Symbol.dispose]();
    assert.throws(() => nft.run('list tables'), { kind: 'internal' });
  });

  test('says which package is missing when it is not there', () => {
    const library = execFileSync('sh', ['-c', 'ldconfig -p | sed -n "s/.*libnftables.so.1 .*=> //p" | head -n 1'], {
      encoding: 'utf8',
    }).trim();
    assert.ok(existsSync(library), 'libnftables is installed here');
    const code = `import(${url('./libnftables.ts')}).then(({ openNft }) => console.log(JSON.stringify(openNft())))`;
    const script = 'mount --bind /dev/null "$1" && exec "$2" -e "$3"';
    const { stdout } = spawnSync('unshare', ['--mount', 'sh', '-c', script, 'sh', library, process.execPath, code], {
      encoding: 'utf8',
    });
    const { nft, reason } = JSON.parse(stdout) as { nft: null; reason: string };
    assert.equal(nft, null);
    assert.match(reason, /^libnftables\.so\.1 cannot be loaded \(Debian package libnftables1\): /);
  });
});

test('the service manager hears what it is told, by path and by abstract name', () => {
  using at = place();
  const path = join(at.directory, 'notify');
  for (const name of [path, `@moor-test-${process.pid}`]) {
    const raw = new TextEncoder().encode(name.startsWith('@') ? `\0${name.slice(1)}` : name);
    const address = new Uint8Array(2 + raw.length + (name.startsWith('@') ? 0 : 1));
    address[0] = socketH.AF_UNIX;
    address.set(raw, 2);
    using listener = new Fd(libc.socket(socketH.AF_UNIX, socketH.SOCK_DGRAM | socketH.SOCK_CLOEXEC, 0), 'listener');
    assert.equal(libc.bind(listener.number, address, address.length), 0);
    assert.equal(notifySystemd('READY=1\nSTATUS=Serving', name), true);
    const data = new Uint8Array(100);
    const length = libc.read(listener.number, data, data.length);
    assert.equal(new TextDecoder().decode(data.subarray(0, length)), 'READY=1\nSTATUS=Serving');
  }
  assert.equal(notifySystemd('READY=1', ''), false);
  assert.throws(() => notifySystemd('READY=1', join(at.directory, 'nobody')), { kind: 'not-found' });
});

describe('a process that moves into a sandbox', () => {
  /** Runs a shell command in the sandbox, as `moor run` does. */
  function enter(view: object, command: string): { readonly status: number | null; readonly out: string; readonly err: string } {
    const code = `Promise.all([import(${url('./sandbox.ts')}), import(${url('./process.ts')})]).then(([{ enterSandbox }, { execInPlace }]) => {
      console.error(JSON.stringify(enterSandbox(${JSON.stringify(view)})));
      execInPlace(['sh', '-c', ${JSON.stringify(command)}]);
    }).catch((error) => { console.error(error.message); process.exitCode = 9; });`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8' });
    return { status, out: stdout, err: stderr };
  }

  test('sees its devices, files and name, and the host sees none of it', () => {
    using at = place();
    at.run('ip link add br7 type bridge');
    const hosts = join(at.directory, 'hosts');
    writeFileSync(hosts, '10.0.0.1 sandbox\n');
    const before = {
      hosts: readFileSync('/etc/hosts', 'utf8'),
      hostname: hostname(),
      mounts: readFileSync('/proc/self/mountinfo', 'utf8'),
    };
    const view = {
      netns: at.pin,
      hostname: 'sandbox',
      files: [
        { source: hosts, target: '/etc/hosts' },
        { source: hosts, target: '/etc/moor-no-such-file' },
      ],
    };
    const { status, out, err } = enter(
      view,
      'ls /sys/class/net; cat /etc/hosts; hostname; ip -br link | cut -d" " -f1; ls /sys/fs/cgroup | head -n 1; exit 3',
    );
    assert.equal(err, '["/etc/moor-no-such-file"]\n');
    const cgroup = execFileSync('sh', ['-c', 'ls /sys/fs/cgroup | head -n 1'], { encoding: 'utf8' });
    assert.equal(out, `br7\nlo\n10.0.0.1 sandbox\nsandbox\nlo\nbr7\n${cgroup}`);
    assert.equal(status, 3);
    assert.deepEqual(
      { hosts: readFileSync('/etc/hosts', 'utf8'), hostname: hostname(), mounts: readFileSync('/proc/self/mountinfo', 'utf8') },
      before,
    );
  });

  test('leaves shared mounts of the host alone, and lets go of what the host unmounts', () => {
    using at = place();
    const shared = join(at.directory, 'shared');
    const hosts = join(at.directory, 'hosts');
    writeFileSync(hosts, 'inside\n');
    execFileSync('sh', [
      '-c',
      `mkdir ${shared} && mount -t tmpfs tmpfs ${shared} && mount --make-shared ${shared} && echo host > ${shared}/file && mkdir ${shared}/inner && mount -t tmpfs tmpfs ${shared}/inner`,
    ]);
    try {
      const inHost = `nsenter --mount=/proc/${process.pid}/ns/mnt`;
      const files = [{ source: hosts, target: join(shared, 'file') }];
      const looked = enter({ netns: at.pin, files }, `cat ${shared}/file; ${inHost} cat ${shared}/file`);
      assert.deepEqual(looked, { status: 0, out: 'inside\nhost\n', err: '[]\n' });
      const counted = enter(
        { netns: at.pin },
        `cat ${shared}/file; ${inHost} umount ${shared}/inner; grep -c ${shared}/inner /proc/self/mountinfo`,
      );
      assert.deepEqual(counted, { status: 1, out: 'host\n0\n', err: '[]\n' });
    } finally {
      spawnSync('umount', ['-l', shared]);
    }
  });

  test('keeps the name of the host when none is given', () => {
    using at = place();
    assert.equal(
      enter({ netns: at.pin }, 'hostname; readlink /proc/self/ns/uts').out,
      `${hostname()}\n${execFileSync('readlink', ['/proc/self/ns/uts'], { encoding: 'utf8' })}`,
    );
  });

  test('is told when there is no such sandbox, or no file to mount', () => {
    using at = place();
    assert.deepEqual(enter({ netns: `${at.pin}x` }, 'true'), {
      status: 9,
      out: '',
      err: `open ${at.pin}x: no such file or directory (ENOENT)\n`,
    });
    const files = [{ source: join(at.directory, 'none'), target: '/etc/hosts' }];
    assert.match(enter({ netns: at.pin, files }, 'true').err, /none: no such file or directory \(ENOENT\)/);
  });
});

test('descriptors are not inherited by what we start', () => {
  using file = openFile('/dev/null', fcntlH.O_RDONLY);
  const { stdout } = spawnSync('sh', ['-c', `ls -l /proc/self/fd/${file.number} 2>&1`], { encoding: 'utf8' });
  assert.match(stdout, /No such file/);
});
