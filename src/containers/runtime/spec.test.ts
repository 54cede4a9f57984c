/** The specification of a container, whole for a plain one and by what differs for the rest. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Id } from '../../base/ids.ts';
import type { MountPoint } from '../../model/container.ts';
import { execProcess } from './process.ts';
import { startRequest, type Asked } from './runtime.testing.ts';
import { defaultProfile } from './seccomp-profile.ts';
import { atLeast, parseSeccomp, resolveSeccomp } from './seccomp.ts';
import { ociSpec, type SpecFacts } from './spec.ts';
import type { OciSpec } from './oci.ts';

const ID = 'ab'.repeat(32) as Id;

const facts: SpecFacts = {
  cgroup: 1,
  recursiveReadOnly: true,
  shm: null,
  init: null,
  capabilities: (1n << 41n) - 1n,
  user: { uid: 0, gid: 0, additionalGids: [] },
  swapAccounting: true,
  architecture: 'amd64',
  kernel: '6.1.0-13-amd64',
  devices: [],
  deviceRules: [],
};

const spec = (asked: Asked = {}, changed: Partial<SpecFacts> = {}, command: readonly string[] = ['sh']): OciSpec =>
  ociSpec(startRequest(command, { root: '/r', netns: '/run/n', id: ID, ...asked }), { ...facts, ...changed });

const point = (given: Partial<MountPoint>): MountPoint => ({
  type: 'bind',
  source: '/s',
  destination: '/d',
  readOnly: false,
  mode: '',
  propagation: '',
  copy: false,
  ...given,
});

const mountAt = (made: OciSpec, destination: string): unknown => made.mounts.find((mount) => mount.destination === destination);

test('a plain container', () => {
  const { linux, ...rest } = spec({ files: { '/etc/hosts': '/run/hosts' } });
  const { seccomp, ...others } = linux;
  const capabilities =
    'CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID CAP_SETFCAP CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE'.split(
      ' ',
    );
  assert.deepEqual(rest, {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0, additionalGids: [] },
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: false,
      terminal: false,
      args: ['sh'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOSTNAME=abababababab', 'FROM_IMAGE=1'],
      cwd: '/',
    },
    root: { path: '/r', readonly: false },
    hostname: 'abababababab',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
      },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
      {
        destination: '/dev/shm',
        type: 'tmpfs',
        source: 'shm',
        options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=67108864'],
      },
      { destination: '/etc/hosts', type: 'bind', source: '/run/hosts', options: ['rbind', 'rprivate'] },
      {
        destination: '/sys/fs/cgroup',
        type: 'cgroup',
        source: 'cgroup',
        options: ['nosuid', 'noexec', 'nodev', 'ro', 'relatime'],
      },
    ],
  });
  assert.deepEqual(others.namespaces, [
    { type: 'mount' },
    { type: 'network', path: '/run/n' },
    { type: 'uts' },
    { type: 'pid' },
    { type: 'ipc' },
  ]);
  assert.equal(others.cgroupsPath, `/moor/${ID}`);
  assert.deepEqual(others.resources, { devices: [{ allow: false, access: 'rwm' }] });
  assert.deepEqual(others.sysctl, { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' });
  assert.deepEqual(others.readonlyPaths, ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']);
  assert.ok(others.maskedPaths.includes('/proc/kcore'));
  assert.equal(seccomp?.defaultAction, 'SCMP_ACT_ERRNO');
});

describe('the command', () => {
  const args = (
    Entrypoint: readonly string[] | null,
    Cmd: readonly string[] | null,
    fromImage: object = {},
  ): readonly string[] => {
    const request = startRequest([], { root: '/r', id: ID, config: { Entrypoint, Cmd } });
    return ociSpec({ ...request, image: { ...request.image, config: fromImage } }, facts).process.args;
  };
  const image = { Entrypoint: ['entry'], Cmd: ['from', 'image'] };

  test('is what the container says, else what the image says', () => {
    assert.deepEqual(args(null, null, image), ['entry', 'from', 'image']);
    assert.deepEqual(args(null, ['mine'], image), ['entry', 'mine']);
    assert.deepEqual(args(['my'], null, image), ['my']);
    assert.deepEqual(args(['my'], ['own'], image), ['my', 'own']);
    assert.deepEqual(args([''], ['own'], image), ['own']);
    assert.throws(() => args(null, null), { kind: 'invalid', message: 'no command specified' });
  });

  test('runs under an init when asked', () => {
    const made = spec({ host: { Init: true } }, { init: '/usr/bin/tini-static' });
    assert.deepEqual(made.process.args, ['/sbin/docker-init', '--', 'sh']);
    assert.deepEqual(mountAt(made, '/sbin/docker-init'), {
      destination: '/sbin/docker-init',
      type: 'bind',
      source: '/usr/bin/tini-static',
      options: ['bind', 'ro'],
    });
  });

  test('has the environment of both, later ones winning; a name alone removes', () => {
    const { env } = spec({ config: { Env: ['FROM_IMAGE=2', 'A=b=c', 'PATH'], Tty: true } }).process;
    assert.deepEqual(env, ['HOSTNAME=abababababab', 'TERM=xterm', 'FROM_IMAGE=2', 'A=b=c']);
  });

  test('of an exec inherits environment and directory', () => {
    const started = spec({ config: { Env: ['A=1'], WorkingDir: '/w' } }).process;
    const { container } = startRequest(['sh'], { root: '/r', id: ID });
    const request = {
      id: ID,
      container,
      command: ['x'],
      env: ['A=2'],
      user: '',
      workingDir: '',
      tty: true,
      stdin: false,
      privileged: false,
    };
    const made = execProcess(request, started, facts);
    assert.equal(made.cwd, '/w');
    assert.ok(made.env.includes('A=2') && made.env.includes('FROM_IMAGE=1') && made.env.includes('TERM=xterm'));
  });
});

describe('limits', () => {
  const resources = (host: NonNullable<Asked['host']>, changed?: Partial<SpecFacts>): unknown => {
    const { devices: _, ...limits } = spec({ host }, changed).linux.resources;
    return limits;
  };

  test('swap is twice the memory unless said otherwise, and left out where the kernel cannot count it', () => {
    assert.deepEqual(resources({ Memory: 100 }), { memory: { limit: 100, swap: 200 } });
    assert.deepEqual(resources({ Memory: 100, MemorySwap: -1 }), { memory: { limit: 100, swap: -1 } });
    assert.deepEqual(resources({ Memory: 100, MemorySwap: 150 }, { swapAccounting: false }), { memory: { limit: 100 } });
  });

  test('processors are a quota of the default period', () => {
    assert.deepEqual(resources({ NanoCpus: 1.5e9 }), { cpu: { period: 100_000, quota: 150_000 } });
    assert.deepEqual(resources({ CpuPeriod: 50_000, CpuQuota: 25_000, CpuShares: 2, CpusetCpus: '0-1' }), {
      cpu: { shares: 2, quota: 25_000, period: 50_000, cpus: '0-1' },
    });
    assert.deepEqual(resources({ PidsLimit: 0 }), {});
    assert.deepEqual(resources({ PidsLimit: -1 }), { pids: { limit: -1 } });
  });

  test('ulimits have the names of getrlimit', () => {
    const { rlimits } = spec({ host: { Ulimits: [{ Name: 'nofile', Soft: 1, Hard: 2 }] } }).process;
    assert.deepEqual(rlimits, [{ type: 'RLIMIT_NOFILE', soft: 1, hard: 2 }]);
    assert.throws(() => spec({ host: { Ulimits: [{ Name: 'nofile', Soft: 3, Hard: 2 }] } }), { kind: 'invalid' });
  });
});

describe('mounts', () => {
  test('of the user take the place of defaults, and are ordered so that one below another comes later', () => {
    const made = spec({
      mounts: [
        point({ destination: '/a/b/c' }),
        point({ destination: '/a', readOnly: true }),
        point({ destination: '/dev/shm/' }),
        point({ destination: '/etc/hosts' }),
      ],
      files: { '/etc/hosts': '/h' },
    });
    const order = made.mounts.map(({ destination }) => destination);
    assert.ok(order.indexOf('/a') < order.indexOf('/a/b/c'));
    assert.equal(order.filter((path) => path === '/dev/shm/' || path === '/dev/shm').length, 1);
    assert.equal(order.filter((path) => path === '/etc/hosts').length, 1);
    assert.deepEqual(mountAt(made, '/a'), {
      destination: '/a',
      type: 'bind',
      source: '/s',
      options: ['rbind', 'rprivate', 'ro', 'rro'],
    });
  });

  test('that propagate need a root that does', () => {
    assert.equal(spec().linux.rootfsPropagation, undefined);
    assert.equal(spec({ mounts: [point({ propagation: 'slave' })] }).linux.rootfsPropagation, 'rslave');
    assert.equal(
      spec({ mounts: [point({ propagation: 'rslave' }), point({ propagation: 'rshared' })] }).linux.rootfsPropagation,
      'rshared',
    );
    assert.throws(() => spec({ mounts: [point({ propagation: 'wild' })] }), {
      kind: 'invalid',
      message: 'invalid propagation mode: wild',
    });
  });

  test('in memory have no programs, set-uid bits or devices unless asked for', () => {
    const made = spec({ host: { Tmpfs: { '/t': 'exec,size=1m', '/u': '' } } });
    assert.deepEqual(mountAt(made, '/t'), {
      destination: '/t',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'nodev', 'exec', 'size=1m'],
    });
    assert.deepEqual(mountAt(made, '/u'), {
      destination: '/u',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['noexec', 'nosuid', 'nodev'],
    });
  });
});

describe('namespaces', () => {
  const types = (made: OciSpec): readonly string[] =>
    made.linux.namespaces.map(({ type, path }) => (path ? `${type}=${path}` : type));

  test('follow the modes; version 2 has one for cgroups', () => {
    assert.deepEqual(types(spec({ netns: null, host: { PidMode: 'host', IpcMode: 'host', UTSMode: 'host' } })), ['mount']);
    assert.deepEqual(types(spec({ shared: { pid: '/proc/7/ns/pid', ipc: null } })), [
      'mount',
      'network=/run/n',
      'uts',
      'pid=/proc/7/ns/pid',
      'ipc',
    ]);
    assert.ok(types(spec({}, { cgroup: 2 })).includes('cgroup'));
    assert.equal(spec({ host: { UTSMode: 'host' } }).hostname, undefined);
  });

  test('of another container or the host are not reconfigured', () => {
    assert.deepEqual(spec({ host: { NetworkMode: 'container:x' } }).linux.sysctl, {});
    assert.deepEqual(spec({ netns: null }).linux.sysctl, {});
    assert.deepEqual(spec({ netns: null, config: { Domainname: 'example.org' } }).linux.sysctl, {
      'kernel.domainname': 'example.org',
    });
    assert.throws(
      () => spec({ host: { IpcMode: 'host', Sysctls: { 'kernel.shmmax': '1' } } }),
      /not allowed with host IPC namespace/,
    );
  });
});

describe('a privileged container', () => {
  test('has it all', () => {
    const { process, linux, mounts } = spec({ host: { Privileged: true } });
    assert.equal(process.capabilities.bounding.length, 41);
    assert.equal(linux.seccomp, undefined);
    assert.deepEqual([linux.maskedPaths, linux.readonlyPaths], [[], []]);
    assert.deepEqual(linux.resources.devices, [{ allow: true, access: 'rwm' }]);
    assert.ok(mounts.every(({ options }) => !options.includes('ro')));
  });
});

describe('seccomp', () => {
  const names = (capabilities: readonly string[], changed = {}): readonly string[] =>
    resolveSeccomp(defaultProfile, capabilities, { architecture: 'amd64', kernel: '6.1', ...changed })
      .syscalls.filter(({ action }) => action === 'SCMP_ACT_ALLOW')
      .flatMap((rule) => rule['names'] as readonly string[]);

  test('allows more to who has a capability', () => {
    assert.ok(!names([]).includes('mount') && !names([]).includes('reboot') && names([]).includes('openat'));
    assert.ok(names(['CAP_SYS_ADMIN']).includes('mount'));
    assert.ok(names(['CAP_SYS_BOOT']).includes('reboot'));
    assert.ok(
      !names([]).some((name) =>
        ['init_module', 'kexec_load', 'keyctl', 'add_key', 'userfaultfd', 'io_uring_setup', 'swapon', 'pivot_root'].includes(
          name,
        ),
      ),
    );
  });

  test('lets clone make threads but no namespaces, and hides clone3, unless the container may administer', () => {
    const rules = (capabilities: readonly string[]): readonly unknown[] =>
      resolveSeccomp(defaultProfile, capabilities, facts).syscalls.filter((rule) =>
        (rule['names'] as readonly string[]).some((name) => name.startsWith('clone')),
      );
    assert.deepEqual(rules([]), [
      {
        names: ['clone'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
      },
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
    ]);
    assert.equal(rules(['CAP_SYS_ADMIN']).length, 1);
  });

  test('is for the architecture and the kernel', () => {
    assert.deepEqual(resolveSeccomp(defaultProfile, [], facts).architectures, [
      'SCMP_ARCH_X86_64',
      'SCMP_ARCH_X86',
      'SCMP_ARCH_X32',
    ]);
    assert.deepEqual(resolveSeccomp(defaultProfile, [], { ...facts, architecture: 'arm64' }).architectures, [
      'SCMP_ARCH_AARCH64',
      'SCMP_ARCH_ARM',
    ]);
    assert.ok(names([]).includes('arch_prctl') && !names([], { architecture: 'arm64' }).includes('arch_prctl'));
    assert.ok(names([]).includes('ptrace') && !names([], { kernel: '4.7.9' }).includes('ptrace'));
    assert.ok(atLeast('5.10.0-1', '5.9') && !atLeast('5.9', '5.10') && atLeast('6.0', '5.12'));
  });

  test('of a user is checked for its form', () => {
    for (const bad of [
      '{',
      '[]',
      '{}',
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":{}}',
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[1]}',
    ]) {
      assert.throws(() => parseSeccomp(bad), { kind: 'invalid', message: /^Decoding seccomp profile failed: / }, bad);
    }
  });
});
