/** mount(2) and umount2(2). */
import { lstatSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { mountH, newMountH, syscallH } from './constants.ts';
import { hasCode, kernelError } from './errors.ts';
import { Fd } from './fd.ts';
import { addressOf, check, libc } from './libc.ts';

/** The kernel takes one page of options. */
const OPTIONS_LIMIT = 4096;

/**
 * Mounts a file system.
 * @param options as in `mount -o`, without the words that are flags
 * @throws by errno; invalid when the options are longer than the kernel takes
 */
export function mountFileSystem(type: string, target: string, options: string): void {
  const operation = (): string => `mount -t ${type} ${type} ${target}`;
  // The kernel would cut them without a word.
  if (Buffer.byteLength(options) >= OPTIONS_LIMIT) throw kernelError(operation(), constants.errno.ENAMETOOLONG);
  check(libc.mount(type, target, type, 0, options), operation);
}

/**
 * Mounts a file system at no place: what is in it is reached by `/proc/self/fd/NUMBER/`, by us alone, and it is gone when the descriptor
 * is. fsopen(2) and fsmount(2), Linux 5.2.
 * @throws by errno: forbidden when we may not mount it, unsupported where the kernel has no such call
 */
export function mountUnseen(type: string): Fd {
  const operation = `mount -t ${type}`;
  const name = new Uint8Array(Buffer.from(`${type}\0`));
  const { SYS_fsopen, SYS_fsconfig, SYS_fsmount } = syscallH;
  using context = new Fd(check(libc.syscall(SYS_fsopen, addressOf(name), newMountH.FSOPEN_CLOEXEC, 0, 0), operation), operation);
  check(libc.syscall5(SYS_fsconfig, context.number, newMountH.FSCONFIG_CMD_CREATE, 0, 0, 0), operation);
  return new Fd(check(libc.syscall(SYS_fsmount, context.number, newMountH.FSMOUNT_CLOEXEC, 0, 0), operation), type);
}

/** Shows a directory at another place too. @param target an open directory @throws by errno */
export function bindOver(source: string, target: Fd): void {
  const flags = mountH.MS_BIND | mountH.MS_REC;
  check(libc.mount(source, `/proc/self/fd/${target.number}`, null, flags, null), () => `mount --rbind ${source} ${target.what}`);
}

/** Unmounts what is there, also while it is in use, and whatever is mounted below it. @returns false when nothing was mounted */
export function unmount(target: string): boolean {
  try {
    check(libc.umount2(target, mountH.MNT_DETACH | mountH.UMOUNT_NOFOLLOW), () => `umount ${target}`);
    return true;
  } catch (error) {
    if (hasCode(error, 'EINVAL', 'ENOENT')) return false;
    throw error;
  }
}

/** Is something mounted on this directory? (Not for bind mounts within one file system.) */
export function isMountPoint(directory: string): boolean {
  const found = lstatSync(directory, { throwIfNoEntry: false });
  return found !== undefined && found.dev !== lstatSync(dirname(directory)).dev;
}
