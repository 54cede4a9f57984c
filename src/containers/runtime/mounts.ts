/** What is mounted in a container: Docker's defaults, files, volumes and temporary file systems, in an order that works. */
import { invalid } from '../../base/errors.ts';
import type { StartRequest } from '../../contracts/containers.ts';
import type { MountPoint } from '../../model/container.ts';
import { SHM_SIZE } from '../../model/container-defaults.ts';
import type { OciMount } from './oci.ts';

export interface MountFacts {
  readonly cgroup: 1 | 2;
  /** Does the kernel know recursive mount attributes (mount_setattr, Linux 5.12)? */
  readonly recursiveReadOnly: boolean;
  /** Directory on the host that is the container's /dev/shm, for one that is shared; null: one of its own. */
  readonly shm: string | null;
  /** Program on the host for `--init`, null without it. */
  readonly init: string | null;
}

/** Where `--init` puts its program, as Docker does. */
export const INIT_TARGET = '/sbin/docker-init';
const PROPAGATIONS: readonly string[] = ['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'];

export function mounts(request: StartRequest, facts: MountFacts): readonly OciMount[] {
  const { hostConfig } = request.container;
  const users = [...request.mounts.map((mount) => mountPoint(mount, request, facts)), ...temporary(request)];
  const taken = new Set(users.map(({ destination }) => clean(destination)));
  const free = ({ destination }: OciMount): boolean =>
    !(hostConfig.IpcMode === 'none' && destination === '/dev/shm') &&
    !taken.has(destination) &&
    !(taken.has('/dev') && destination.startsWith('/dev/'));
  const files = Object.entries(request.files).map(([target, source]) => bind(source, target, ['rbind', 'rprivate']));
  const init = facts.init === null ? [] : [bind(facts.init, INIT_TARGET, ['bind', 'ro'])];
  const wanted = [...defaults(request, facts), ...files, ...init].filter(free);
  // A mount below another must come after it.
  const depth = (path: string): number => clean(path).split('/').length;
  const ordered = [...wanted, ...users].sort((a, b) => depth(a.destination) - depth(b.destination));
  if (!hostConfig.Privileged) return ordered;
  return ordered.map((mount) =>
    mount.type === 'sysfs' || mount.type === 'cgroup'
      ? { ...mount, options: mount.options.filter((option) => option !== 'ro') }
      : mount,
  );
}

/** How mounts of the host go on appearing inside (`slave`) or both ways (`shared`): the root must allow what its mounts ask for. */
export function rootPropagation(points: readonly MountPoint[]): 'rshared' | 'rslave' | undefined {
  if (points.some(({ propagation }) => propagation.endsWith('shared'))) return 'rshared';
  return points.some(({ propagation }) => propagation.endsWith('slave')) ? 'rslave' : undefined;
}

function defaults(request: StartRequest, { cgroup, shm }: MountFacts): readonly OciMount[] {
  const { hostConfig } = request.container;
  const hostIpc = hostConfig.IpcMode === 'host';
  const plain = ['nosuid', 'noexec', 'nodev'];
  const size = hostConfig.ShmSize > 0 ? hostConfig.ShmSize : SHM_SIZE;
  const shared = hostIpc ? '/dev/shm' : shm;
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: plain },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'], // 5: group tty
    },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...plain, 'ro'] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: [...plain, 'ro', ...(cgroup === 1 ? ['relatime'] : [])],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: plain },
    shared === null
      ? { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...plain, 'mode=1777', `size=${size}`] }
      : bind(shared, '/dev/shm', ['rbind', 'rprivate']),
  ];
}

function mountPoint(mount: MountPoint, request: StartRequest, facts: MountFacts): OciMount {
  if (mount.type === 'tmpfs') {
    const asked = request.container.hostConfig.Mounts.find(
      ({ Type, Target }) => Type === 'tmpfs' && clean(Target) === clean(mount.destination),
    );
    const { SizeBytes: size, Mode: mode } = asked?.TmpfsOptions ?? {};
    return tmpfs(mount.destination, [
      ...(mount.readOnly ? ['ro'] : []),
      ...(size ? [`size=${size}`] : []),
      ...(mode ? [`mode=${mode.toString(8)}`] : []),
    ]);
  }
  const propagation = mount.propagation === '' ? 'rprivate' : mount.propagation;
  if (!PROPAGATIONS.includes(propagation)) throw invalid(`invalid propagation mode: ${propagation}`);
  // `ro` alone leaves what is mounted below the source writable.
  const access = mount.readOnly ? (facts.recursiveReadOnly ? ['ro', 'rro'] : ['ro']) : ['rw'];
  return bind(mount.source, mount.destination, ['rbind', propagation, ...access]);
}

/** `--tmpfs`, unless it is among the mount points already. */
function temporary({ container, mounts: points }: StartRequest): readonly OciMount[] {
  const known = new Set(points.map(({ destination }) => clean(destination)));
  return Object.entries(container.hostConfig.Tmpfs)
    .filter(([destination]) => !known.has(clean(destination)))
    .map(([destination, options]) => tmpfs(destination, options.split(',').filter(Boolean)));
}

/** Docker's: no programs, no set-uid, no devices unless asked for. */
function tmpfs(destination: string, given: readonly string[]): OciMount {
  const opposite: Readonly<Record<string, string>> = { noexec: 'exec', nosuid: 'suid', nodev: 'dev' };
  const kept = Object.keys(opposite).filter((word) => !given.includes(opposite[word] ?? '') && !given.includes(word));
  return { destination, type: 'tmpfs', source: 'tmpfs', options: [...kept, ...given] };
}

const bind = (source: string, destination: string, options: readonly string[]): OciMount => ({
  destination,
  type: 'bind',
  source,
  options,
});

/** Without a slash at the end or doubled. */
function clean(path: string): string {
  const parts = path.split('/').filter(Boolean);
  return `/${parts.join('/')}`;
}
