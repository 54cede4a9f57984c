/** What this host is like, and which programs it has. Looked at once. */
import { accessSync, constants, existsSync, readFileSync, statfsSync } from 'node:fs';
import { arch, release } from 'node:os';
import { join } from 'node:path';
import { MoorError } from '../../base/errors.ts';
import { atLeast } from './seccomp.ts';

/** <linux/magic.h> */
const CGROUP2_SUPER_MAGIC = 0x63677270;
export const CGROUP_ROOT = '/sys/fs/cgroup';

export interface Host {
  /** Version of /sys/fs/cgroup; a hybrid counts as 1, its controllers are there. */
  readonly cgroup: 1 | 2;
  readonly swapAccounting: boolean;
  readonly architecture: string;
  readonly kernel: string;
  /** Bits of the capabilities that the daemon may hand on. */
  readonly capabilities: bigint;
  readonly recursiveReadOnly: boolean;
  /** Absolute paths. */
  readonly conmon: string;
  readonly runtime: string;
}

/** Go's names for what Node calls otherwise. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };
const FOLDERS: readonly string[] = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
/** Where distributions keep helpers of containers. */
const HELPERS: readonly string[] = ['/usr/libexec/podman', '/usr/libexec/docker', '/usr/lib/podman', '/usr/libexec/moorline'];

/** @throws unavailable naming what to install */
export function lookAtHost(): Host {
  const cgroup = statfsSync(CGROUP_ROOT).type === CGROUP2_SUPER_MAGIC ? 2 : 1;
  const kernel = release();
  return {
    cgroup,
    // On version 2 a file of the root group does not tell; swap is counted whenever memory is.
    swapAccounting: cgroup === 2 || existsSync(join(CGROUP_ROOT, 'memory/memory.memsw.limit_in_bytes')),
    architecture: ARCHITECTURES[arch()] ?? arch(),
    kernel,
    capabilities: BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`),
    recursiveReadOnly: atLeast(kernel, '5.12'),
    conmon: need('conmon', ['conmon']),
    // crun refuses hosts where both cgroup versions are in use; runc runs on all.
    runtime: need('an OCI runtime', cgroup === 2 ? ['runc', 'crun'] : ['runc']),
  };
}

/** docker-init by the names under which it is packaged; it must need no library of the container. @throws unavailable */
export function findInit(): string {
  const found = find(['docker-init', 'tini-static', 'catatonit']);
  if (found !== null) return found;
  throw new MoorError(
    'unavailable',
    'Cannot use --init: no docker-init, tini-static or catatonit is installed (Debian packages tini and catatonit)',
  );
}

function need(what: string, names: readonly string[]): string {
  const found = find(names);
  if (found !== null) return found;
  throw new MoorError(
    'unavailable',
    `Cannot run containers: ${what} is not installed (Debian package${names.length > 1 ? 's' : ''} ${names.join(' or ')})`,
  );
}

function find(names: readonly string[]): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(':').filter((folder) => folder.startsWith('/')), ...FOLDERS, ...HELPERS];
  for (const name of names) {
    for (const folder of folders) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // not here
      }
    }
  }
  return null;
}
