/** The root of the cgroup tree (version 2), to which programs are attached. cgroup_namespaces(7): of a container that is its own group. */
import { readFileSync, statfsSync } from 'node:fs';
import { cgroupH } from './constants-bpf.ts';
import { fcntlH } from './constants.ts';
import { type Fd, openFile } from './fd.ts';
import { mountUnseen } from './mount.ts';

/**
 * Opens it where it is mounted: here, or where the first process sees it, as we may live in a mount namespace without it. Where it is not
 * mounted at all, it is mounted where nobody sees it, and gone when the descriptor is. Mounting it beside others would change their
 * options (apply_cgroup_root_flags(), kernel/cgroup/cgroup.c), so that comes last.
 * @throws unsupported without cgroup2, forbidden when it may not be mounted
 */
export function openCgroupRoot(): Fd {
  return openMounted('self') ?? openMounted('1') ?? mountUnseen('cgroup2');
}

function openMounted(pid: 'self' | '1'): Fd | null {
  const root = pid === 'self' ? '' : `/proc/${pid}/root`;
  for (const path of cgroupMounts(pid)) {
    try {
      // Something else may lie over it.
      if (statfsSync(`${root}${path}`).type !== cgroupH.CGROUP2_SUPER_MAGIC) continue;
      return openFile(`${root}${path}`, fcntlH.O_RDONLY | fcntlH.O_DIRECTORY);
    } catch {
      // Seen, and not to be reached: the next way.
    }
  }
  return null;
}

function cgroupMounts(pid: string): string[] {
  try {
    return cgroupRoots(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
  } catch {
    return [];
  }
}

/**
 * Where a whole tree is mounted, not a part of one.
 * @param text proc_pid_mountinfo(5): id, parent, device, root, mount point, ..., ` - `, type, ...
 */
export const cgroupRoots = (text: string): string[] =>
  text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root, point] = before.split(' ');
    if (root !== '/' || point === undefined || !after.startsWith('cgroup2 ')) return [];
    return [point.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCodePoint(Number.parseInt(octal, 8)))];
  });
