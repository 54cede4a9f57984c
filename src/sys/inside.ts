/** Opening what lies inside a root that is not trusted: `..` and symbolic links are resolved as in a chroot, by the kernel. */
import { constants } from 'node:os';
import { fcntlH, openat2H, syscallH } from './constants.ts';
import { errnoName, hasCode, kernelError } from './errors.ts';
import { Fd, openFile } from './fd.ts';
import { lastErrno, libc } from './libc.ts';

/** `struct open_how`, <linux/openat2.h>: u64 flags, u64 mode, u64 resolve. */
const OPEN_HOW = 24;
/** The kernel gives up with EAGAIN when somebody renames or mounts meanwhile. openat2(2) */
const TRIES = 100;

/**
 * openat2(2) with RESOLVE_IN_ROOT. Links such as those of /proc/PID/fd are refused.
 * @param root an open directory
 * @param path absolute or relative, both from `root`
 * @param flags O_* of `fcntlH`; O_CLOEXEC is added
 * @throws by errno: not-found, invalid (ENOTDIR, ELOOP), forbidden
 */
export function openInside(root: Fd, path: string, flags: number): Fd {
  const how = new Uint8Array(OPEN_HOW);
  const view = new DataView(how.buffer);
  view.setBigUint64(0, BigInt(flags | fcntlH.O_CLOEXEC), true);
  view.setBigUint64(16, BigInt(openat2H.RESOLVE_IN_ROOT | openat2H.RESOLVE_NO_MAGICLINKS), true);
  const operation = `open ${path} in ${root.what}`;
  // A C string ends at the first NUL: what follows it would be ignored.
  if (path.includes('\0')) throw kernelError(operation, constants.errno.EINVAL);
  for (let tries = 1; ; tries++) {
    const fd = libc.openat2(syscallH.SYS_openat2, root.number, path === '' ? '.' : path, how, OPEN_HOW);
    if (fd >= 0) return new Fd(fd, path);
    const errno = lastErrno();
    const code = errnoName(errno);
    if ((code !== 'EAGAIN' && code !== 'EINTR') || tries === TRIES) throw kernelError(operation, errno);
  }
}

/** The root itself, for `openInside`. @throws not-found, invalid (ENOTDIR) */
export const openRoot = (path: string): Fd => openFile(path, fcntlH.O_PATH | fcntlH.O_DIRECTORY);

/** Path by which Node's file functions reach an open file. */
export const descriptorPath = (fd: Fd): string => `/proc/self/fd/${fd.number}`;

/** The same, null when there is nothing at this path. */
export function openInsideIfThere(root: Fd, path: string, flags: number): Fd | null {
  try {
    return openInside(root, path, flags);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
}
