/** Moves this process into a sandbox: what `ip netns exec` does, and private files over the host's. */
import { readFileSync } from 'node:fs';
import { fcntlH, mountH, schedH } from './constants.ts';
import { hasCode } from './errors.ts';
import { type Fd, openFile } from './fd.ts';
import { check, libc } from './libc.ts';
import { moveToNetns, openNetns } from './netns.ts';

export interface SandboxView {
  /** Namespace file to enter. */
  readonly netns: string;
  /** Files of the host that show another content inside: `source` is mounted over `target`. */
  readonly files?: readonly { readonly source: string; readonly target: string }[];
  /** A host name of its own (UTS namespace). */
  readonly hostname?: string;
}

/**
 * Moves the calling thread into a sandbox for good, with a mount namespace of its own in which /sys shows the sandbox's devices. Call it on the
 * main thread right before `execInPlace` or a synchronous spawn: other threads of the process stay outside.
 * @returns targets that were skipped because the host has no such file to mount over
 * @throws by errno; then the thread may be half way in and the process should end
 */
export function enterSandbox(view: SandboxView): readonly string[] {
  using netns = openNetns(view.netns);
  const uts = view.hostname === undefined ? 0 : schedH.CLONE_NEWUTS;
  check(libc.unshare(schedH.CLONE_NEWNS | uts), `unshare --mount${uts ? ' --uts' : ''}`);
  // Slave, not private: our mounts stay inside, and what the host unmounts later is not kept busy by us.
  check(libc.mount(null, '/', null, mountH.MS_SLAVE | mountH.MS_REC, null), 'mount --make-rslave /');
  moveToNetns(netns);
  remountSys();
  if (view.hostname !== undefined) {
    const name = new TextEncoder().encode(view.hostname);
    check(libc.sethostname(name, name.length), `hostname ${view.hostname}`);
  }
  return (view.files ?? []).filter(({ source, target }) => !bindOver(source, target)).map(({ target }) => target);
}

/** @returns false when there is no target */
function bindOver(source: string, target: string): boolean {
  using from = openFile(source, fcntlH.O_PATH);
  try {
    openFile(target, fcntlH.O_PATH).close();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
  bind(from, target);
  return true;
}

/**
 * sysfs shows the devices of the namespace that mounted it. A new one goes on top of the old, and what was mounted inside the old one (cgroups,
 * bpf, tracing) is mounted inside the new one again; `ip netns exec` loses those.
 */
function remountSys(): void {
  const inside = mountsUnder('/sys/').flatMap(openVisible);
  try {
    const flags = mountH.MS_NOSUID | mountH.MS_NODEV | mountH.MS_NOEXEC;
    check(libc.mount('sysfs', '/sys', 'sysfs', flags, null), 'mount -t sysfs sysfs /sys');
    for (const mount of inside) bind(mount, mount.what);
  } finally {
    for (const mount of inside) mount.close();
  }
}

/** A mount point below another mount on /sys is still listed, but hidden: there is nothing to carry over. */
function openVisible(path: string): readonly Fd[] {
  try {
    return [openFile(path, fcntlH.O_PATH)];
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

function bind(source: Fd, target: string): void {
  check(
    libc.mount(`/proc/self/fd/${source.number}`, target, null, mountH.MS_BIND, null),
    () => `mount --bind ${source.what} ${target}`,
  );
}

/** Mount points below a directory in the order they were mounted, each once. proc_pid_mountinfo(5), field 5. */
function mountsUnder(prefix: string): readonly string[] {
  const points = readFileSync('/proc/thread-self/mountinfo', 'utf8')
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    );
  return [...new Set(points.filter((point) => point.startsWith(prefix)))];
}
