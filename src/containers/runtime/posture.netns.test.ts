/** What a container may and may not: looked at from inside. */
import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { MountPoint } from '../../model/container.ts';
import { lab } from './runtime.testing.ts';

const at = await lab();
after(() => at[Symbol.asyncDispose]());

const sh = async (script: string, asked?: Parameters<typeof at.run>[1]): Promise<string> => {
  const { out, err } = await at.run(['sh', '-c', script], asked);
  return out + err;
};

/** docs: the default set has the bits of 0xa80425fb in every Docker. */
const DEFAULT_CAPABILITIES = '00000000a80425fb';

describe('rights', () => {
  test("are Docker's: 14 capabilities, a seccomp filter, and no more for programs that are set-user-id when asked", async () => {
    const status = await sh('grep -E "^(Cap(Prm|Eff|Bnd|Inh|Amb)|Seccomp|NoNewPrivs):" /proc/self/status');
    for (const name of ['CapPrm', 'CapEff', 'CapBnd'])
      assert.match(status, new RegExp(`^${name}:\t${DEFAULT_CAPABILITIES}$`, 'm'));
    for (const name of ['CapInh', 'CapAmb']) assert.match(status, new RegExp(`^${name}:\t0000000000000000$`, 'm'));
    assert.match(status, /^Seccomp:\t2$/m);
    assert.match(status, /^NoNewPrivs:\t0$/m);
    const strict = await sh('grep -E "^(NoNewPrivs|Seccomp|CapEff):" /proc/self/status', {
      host: { SecurityOpt: ['no-new-privileges', 'seccomp=unconfined'], CapDrop: ['ALL'], CapAdd: ['chown', 'CAP_NET_ADMIN'] },
    });
    assert.equal(strict, 'CapEff:\t0000000000001001\nNoNewPrivs:\t1\nSeccomp:\t0\n');
  });

  test('forbid namespaces, mounts and the clock; a privileged container may do it all', async () => {
    const script =
      'unshare -m true 2>&1; mount -t tmpfs x /tmp 2>&1; ls /dev | wc -l; echo 1 > /proc/sys/kernel/domainname; cat /proc/kcore | wc -c';
    const plain = await sh(script);
    assert.match(plain, /unshare.*not permitted/);
    assert.match(plain, /mount.*(denied|not permitted)/);
    assert.match(plain, /Read-only file system/);
    const privileged = await sh(
      'unshare -m true && mount -t tmpfs x /tmp && echo ok; grep Seccomp: /proc/self/status; ls -l /dev/kmsg; touch /sys/x',
      {
        host: { Privileged: true },
      },
    );
    assert.match(privileged, /^ok\nSeccomp:\t0\ncrw/m);
    assert.doesNotMatch(privileged, /Read-only/);
  });

  test('a seccomp profile may be given', async () => {
    const profile = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_ERRNO', errnoRet: 28 }] };
    assert.match(await sh('mkdir /tmp/x', { host: { SecurityOpt: [`seccomp=${JSON.stringify(profile)}`] } }), /No space left/);
    await assert.rejects(at.run(['true'], { host: { SecurityOpt: ['seccomp={'] } }), {
      kind: 'invalid',
      message: /^Decoding seccomp profile failed/,
    });
    await assert.rejects(at.run(['true'], { host: { SecurityOpt: ['no-such=1'] } }), {
      kind: 'invalid',
      message: 'invalid --security-opt 1: "no-such=1"',
    });
    await assert.rejects(at.run(['true'], { host: { CapAdd: ['EVERYTHING'] } }), {
      kind: 'invalid',
      message: 'invalid CapAdd: unknown capability: "CAP_EVERYTHING"',
    });
  });

  test('a user is looked up in the root, with its groups', async () => {
    const id = (User: string, GroupAdd: readonly string[] = []): Promise<string> =>
      sh('id -u; id -g; id -G; echo $HOME', { config: { User }, host: { GroupAdd } });
    assert.equal(await id(''), '0\n0\n0 10\n/root\n');
    assert.equal(await id('ada'), '1000\n1001\n1001 10\n/home/ada\n');
    assert.equal(await id('ada', ['video', '99']), '1000\n1001\n1001 10 44 99\n/home/ada\n');
    assert.equal(await id('1234:video'), '1234\n44\n44\n/\n');
    await assert.rejects(id('nobody-here'), {
      kind: 'invalid',
      message: 'unable to find user nobody-here: no matching entries in passwd file',
    });
    await assert.rejects(id('0:nobody-here'), {
      kind: 'invalid',
      message: 'unable to find group nobody-here: no matching entries in group file',
    });
    await assert.rejects(id('99999999999'), { kind: 'invalid', message: 'uids and gids must be in range 0-2147483647' });
    assert.equal(await sh('grep CapEff /proc/self/status', { config: { User: 'ada' } }), 'CapEff:\t0000000000000000\n');
  });

  test('devices are those of every container, and those that were given', async () => {
    const both = 'head -c1 /dev/zero | wc -c; ls /dev/kmsg 2>&1; mknod /tmp/k c 1 11 && head -c1 /tmp/k 2>&1 | head -1';
    assert.match(await sh(both), /^1\nls: \/dev\/kmsg: No such file.*\nhead: \/tmp\/k: Operation not permitted\n$/);
    const given = await sh('ls -l /dev/log-of-kernel', {
      host: { Devices: [{ PathOnHost: '/dev/kmsg', PathInContainer: '/dev/log-of-kernel', CgroupPermissions: 'r' }] },
    });
    assert.match(given, /^c.* 1, +11 /);
    await assert.rejects(
      at.run(['true'], { host: { Devices: [{ PathOnHost: '/dev/none', PathInContainer: '', CgroupPermissions: '' }] } }),
      {
        kind: 'invalid',
        message: 'error gathering device information while adding custom device "/dev/none": no such file or directory',
      },
    );
  });
});

describe('limits', () => {
  test('are set in the kernel', async () => {
    const asked = at.request(['sleep', '100'], {
      host: {
        Memory: 64 * 2 ** 20,
        MemoryReservation: 32 * 2 ** 20,
        NanoCpus: 5e8,
        CpuShares: 512,
        CpusetCpus: '0',
        PidsLimit: 17,
        OomScoreAdj: 500,
        Ulimits: [
          { Name: 'nofile', Soft: 100, Hard: 200 },
          { Name: 'fsize', Soft: -1, Hard: -1 },
        ],
      },
    });
    const { id } = asked.container;
    const { pid } = await at.runtime.create(asked);
    await at.runtime.start(id);
    const controllers = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
    assert.match(controllers, new RegExp(`/moor/${id}$`, 'm'));
    const read = (controller: string, file: string): string =>
      readFileSync(join('/sys/fs/cgroup', controller, 'moor', id, file), 'utf8').trim();
    const values = {
      memory: read('memory', 'memory.limit_in_bytes'),
      soft: read('memory', 'memory.soft_limit_in_bytes'),
      quota: read('cpu', 'cpu.cfs_quota_us'),
      period: read('cpu', 'cpu.cfs_period_us'),
      shares: read('cpu', 'cpu.shares'),
      cpus: read('cpuset', 'cpuset.cpus'),
      pids: read('pids', 'pids.max'),
      score: readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim(),
    };
    assert.deepEqual(values, {
      memory: String(64 * 2 ** 20),
      soft: String(32 * 2 ** 20),
      quota: '50000',
      period: '100000',
      shares: '512',
      cpus: '0',
      pids: '17',
      score: '500',
    });
    const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
    assert.match(limits, /Max open files +100 +200 /);
    assert.match(limits, /Max file size +unlimited +unlimited /);
    await at.runtime.update(id, { Memory: 128 * 2 ** 20, MemorySwap: -1, PidsLimit: 20 });
    assert.equal(read('memory', 'memory.limit_in_bytes'), String(128 * 2 ** 20));
    assert.equal(read('pids', 'pids.max'), '20');
    assert.equal(read('cpu', 'cpu.shares'), '512');
    await at.runtime.remove(id);
    await assert.rejects(at.run(['true'], { host: { Ulimits: [{ Name: 'love', Soft: 1, Hard: 1 }] } }), {
      kind: 'invalid',
      message: 'invalid ulimit type: love',
    });
  });

  test('a container that takes more memory than it has is told apart from one that was killed', async () => {
    const { status } = await at.run(['sh', '-c', 'dd if=/dev/zero of=/dev/null bs=200M count=1'], {
      host: { Memory: 32 * 2 ** 20, MemorySwap: 32 * 2 ** 20 },
    });
    assert.notEqual(status.code, 0);
    assert.equal(status.oomKilled, true);
    assert.equal((await at.run(['sh', '-c', 'kill -9 $$'])).status.oomKilled, false);
  });

  test('processes beyond the limit are refused', async () => {
    const out = await sh('for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait', { host: { PidsLimit: 4 } });
    assert.match(out, /can't fork|Resource temporarily unavailable/);
  });
});

describe('the file system', () => {
  const point = (given: Partial<MountPoint>): MountPoint => ({
    type: 'bind',
    source: '',
    destination: '',
    readOnly: false,
    mode: '',
    propagation: '',
    copy: false,
    ...given,
  });

  test('has the mounts that were asked for, files over files, and its own places in memory', async () => {
    const source = join(at.directory, 'source');
    mkdirSync(join(source, 'inner'), { recursive: true });
    writeFileSync(join(source, 'file'), 'from the host');
    const hosts = join(at.directory, 'hosts');
    writeFileSync(hosts, '10.1.2.3 hosts\n');
    const out = await sh(
      `cat /mnt/a/file /etc/hosts; hostname; touch /mnt/a/new; touch /mnt/ro/new; df -k /dev/shm /mnt/small | tail -n 2 | while read a b c; do echo $b; done;
       grep " /mnt/small " /proc/mounts; touch /mnt/ro/inner/new`,
      {
        mounts: [
          point({ destination: '/mnt/a', source }),
          point({ destination: '/mnt/ro', source, readOnly: true }),
          point({ type: 'tmpfs', destination: '/mnt/small' }),
        ],
        files: { '/etc/hosts': hosts },
        host: {
          ShmSize: 8 * 2 ** 20,
          Mounts: [{ Type: 'tmpfs', Target: '/mnt/small', TmpfsOptions: { SizeBytes: 2 ** 20, Mode: 0o700 } }],
        },
      },
    );
    assert.match(out, /^from the host10\.1\.2\.3 hosts\n[0-9a-f]{12}\n8192\n1024\n/);
    assert.match(out, /tmpfs \/mnt\/small tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k,mode=700/);
    assert.match(out, /touch: \/mnt\/ro\/new: Read-only file system/);
    assert.match(out, /touch: \/mnt\/ro\/inner\/new: Read-only file system/);
    assert.doesNotMatch(out, /touch: \/mnt\/a\/new/);
  });

  test('may be read-only but for what is mounted', async () => {
    const out = await sh('touch /x; touch /run/x && echo ok; touch /dev/shm/y && echo ok', {
      host: { ReadonlyRootfs: true, Tmpfs: { '/run': 'size=1m' } },
    });
    assert.match(out, /touch: \/x: Read-only file system/);
    assert.match(out, /ok\nok/);
  });

  test('hides what tells of the host', async () => {
    const out = await sh(
      'wc -c < /proc/keys; ls /sys/firmware | wc -l; echo 1 > /proc/sys/kernel/panic; ls /proc/acpi 2>/dev/null | wc -l',
    );
    assert.match(out, /^0\n0\n0\n/);
    assert.match(out, /kernel\/panic: Read-only file system/);
  });
});

describe('namespaces', () => {
  test('are its own, or the host’s, or another container’s', async () => {
    const own = await sh('for n in pid ipc uts net; do readlink /proc/self/ns/$n; done');
    const host = await sh('for n in pid ipc uts net; do readlink /proc/self/ns/$n; done', {
      host: { PidMode: 'host', IpcMode: 'host', UTSMode: 'host' },
    });
    const here = ['pid', 'ipc', 'uts', 'net'].map((name) => readlinkSync(`/proc/self/ns/${name}`));
    assert.deepEqual(host.trim().split('\n'), here);
    assert.deepEqual(
      own
        .split('\n')
        .slice(0, 3)
        .filter((line) => here.includes(line)),
      [],
    );
    const donor = await at.start(['sleep', '100'], { host: { IpcMode: 'shareable', ShmSize: 4 * 2 ** 20 } });
    const { pid } = await at.exec(donor, ['sh', '-c', 'echo shared > /dev/shm/x']).then(async (exec) => {
      await at.runtime.execExited(donor.container.id, exec.id, new AbortController().signal);
      return { pid: readFileSync(join(at.directory, 'run/containers', donor.container.id, 'pid'), 'utf8') };
    });
    const shared = await sh('cat /dev/shm/x; ps | grep -c "sleep 100"', {
      host: { IpcMode: 'container:donor', PidMode: 'container:donor' },
      shared: { pid: `/proc/${pid}/ns/pid`, ipc: `/proc/${pid}/ns/ipc` },
    });
    assert.match(shared, /^shared\n[1-9]/);
    await at.runtime.remove(donor.container.id);
  });

  test('kernel parameters of its own namespaces may be set, others not', async () => {
    assert.equal(await sh('cat /proc/sys/kernel/msgmax', { host: { Sysctls: { 'kernel.msgmax': '9000' } } }), '9000\n');
    await assert.rejects(
      at.run(['true'], { host: { Sysctls: { 'kernel.panic': '1' } } }),
      /sysctl "kernel.panic" is not in a separate kernel namespace/,
    );
    await assert.rejects(at.run(['true'], { host: { Sysctls: { 'net.ipv4.ip_forward': '1' } } }), {
      kind: 'invalid',
      message: "sysctl 'net.ipv4.ip_forward' not allowed in host network namespace",
    });
  });
});
