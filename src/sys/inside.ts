/** Opening what lies inside a root that is not trusted: `..` and symbolic links are resolved as in a chroot, by the kernel. */
import { constants } from 'node:os';
import { fcntlH, openat2H, syscallH } from './constants.ts';
import { errnoName, hasCode, kernelError } from './errors.ts';
import { Fd, openFile } from './fd.ts';
import { check, lastErrno, libc } from './libc.ts';

/** `struct open_how`, <linux/openat2.h>: u64 flags, u64 mode, u64 resolve. */
const OPEN_HOW = 24;
/** The kernel gives up with EAGAIN when somebody renames or mounts meanwhile. openat2(2) */
const TRIES = 100;

/** A path as text (UTF-8), or as the bytes that it is. */
export type PathBytes = string | Buffer;

/**
 * openat2(2) with RESOLVE_IN_ROOT. Links such as those of /proc/PID/fd are refused.
 * @param root an open directory
 * @param path absolute or relative, both from `root`
 * @param flags O_* of `fcntlH`; O_CLOEXEC is added. What O_CREAT makes is for its owner alone, mode 600
 * @throws by errno: not-found, invalid (ENOTDIR, ELOOP), forbidden
 */
export function openInside(root: Fd, path: PathBytes, flags: number): Fd {
  const how = new Uint8Array(OPEN_HOW);
  const view = new DataView(how.buffer);
  view.setBigUint64(0, BigInt(flags | fcntlH.O_CLOEXEC), true);
  // The kernel refuses a mode without O_CREAT.
  view.setBigUint64(8, flags & fcntlH.O_CREAT ? 0o600n : 0n, true);
  view.setBigUint64(16, BigInt(openat2H.RESOLVE_IN_ROOT | openat2H.RESOLVE_NO_MAGICLINKS), true);
  const shown = path.toString();
  const operation = `open ${shown} in ${root.what}`;
  // A C string ends at the first NUL: what follows it would be ignored.
  if (path.includes('\0')) throw kernelError(operation, constants.errno.EINVAL);
  const bytes = cString(path.length === 0 ? '.' : path);
  for (let tries = 1; ; tries++) {
    const fd = libc.openat2(syscallH.SYS_openat2, root.number, bytes, how, OPEN_HOW);
    if (fd >= 0) return new Fd(fd, shown);
    const errno = lastErrno();
    const code = errnoName(errno);
    if ((code !== 'EAGAIN' && code !== 'EINTR') || tries === TRIES) throw kernelError(operation, errno);
  }
}

const cString = (text: PathBytes): Buffer => Buffer.concat([Buffer.from(text), Buffer.of(0)]);

/** The root itself, for `openInside`. @throws not-found, invalid (ENOTDIR) */
export const openRoot = (path: string): Fd => openFile(path, fcntlH.O_PATH | fcntlH.O_DIRECTORY);

/** Path by which Node's file functions reach an open file. */
export const descriptorPath = (fd: Fd): string => `/proc/self/fd/${fd.number}`;

/** Path of a name in an open directory; what the name is must not be followed (`lstat`, `unlink`, O_NOFOLLOW). */
export const childPath = (directory: Fd, name: PathBytes): Buffer =>
  Buffer.concat([Buffer.from(`${descriptorPath(directory)}/`), Buffer.from(name)]);

/** The same, null when there is nothing at this path. */
export function openInsideIfThere(root: Fd, path: PathBytes, flags: number): Fd | null {
  try {
    return openInside(root, path, flags);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
}

/** bytes; XATTR_SIZE_MAX, <linux/limits.h> */
const XATTR_LIMIT = 65536;

/** An extended attribute, null when there is none or none can be. Links are not followed. */
export function readAttribute(path: PathBytes, name: string): Buffer | null {
  const value = Buffer.alloc(XATTR_LIMIT);
  const length = libc.lgetxattr(cString(path), name, value, value.length);
  if (length >= 0) return value.subarray(0, length);
  const errno = lastErrno();
  if (['ENODATA', 'EOPNOTSUPP', 'ENOENT', 'ENOTDIR'].includes(errnoName(errno))) return null;
  throw kernelError(`getfattr -n ${name} ${path.toString()}`, errno);
}

/** @throws unsupported when the file system has none; forbidden */
export function writeAttribute(path: PathBytes, name: string, value: Uint8Array): void {
  check(libc.lsetxattr(cString(path), name, value, value.length, 0), () => `setfattr -n ${name} ${path.toString()}`);
}
