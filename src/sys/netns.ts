/**
 * Network namespaces. setns(2) and unshare(2) move the calling thread alone, so each stretch in another namespace is synchronous and comes
 * back; a thread that cannot come back must not go on serving, and the process is aborted. Sockets keep the namespace they were made in.
 * Threads that are started meanwhile inherit it: start workers and the libuv pool before.
 */
import { fstatSync, mkdirSync, readdirSync, statfsSync, statSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MoorError } from '../base/errors.ts';
import { fcntlH, mountH, nsfsH, schedH } from './constants.ts';
import { hasCode } from './errors.ts';
import { aside, type Fd, openFile } from './fd.ts';
import { check, libc } from './libc.ts';

const THREAD_NETNS = '/proc/thread-self/ns/net';

/** Where the calling thread is; module state is per thread. null = not asked yet. */
let here: Fd | null = null;

/** The namespace the calling thread is in. Do not close it. */
export function ownNetns(): Fd {
  here ??= openFile(THREAD_NETNS, fcntlH.O_RDONLY);
  return here;
}

/**
 * Opens a namespace file: a pin, or /proc/PID/ns/net. The namespace lives at least as long as the descriptor.
 * @throws not-found when it is missing or is no network namespace (a pin whose mount is gone)
 */
export function openNetns(path: string): Fd {
  // O_NONBLOCK: whatever else lies there, such as a FIFO, must not hang us.
  // There is one for every sandbox.
  const fd = aside(openFile(path, fcntlH.O_RDONLY | fcntlH.O_NONBLOCK));
  if (!isNsfs(`/proc/self/fd/${fd.number}`) || libc.ioctlNumber(fd.number, nsfsH.NS_GET_NSTYPE, 0) !== schedH.CLONE_NEWNET) {
    fd.close();
    throw new MoorError('not-found', `Cannot open network namespace ${path}: it is not a network namespace`);
  }
  return fd;
}

/**
 * Runs `body` inside a namespace and comes back, also when it throws.
 * @param body synchronous: what it awaits would run in the wrong namespace
 * @throws what `body` throws; internal when it returns a promise
 */
export function withNetns<T>(netns: Fd, body: () => T): T {
  const home = ownNetns();
  check(libc.setns(netns.number, schedH.CLONE_NEWNET), () => `setns ${netns.what}`);
  here = netns;
  return finishAndReturn(home, body);
}

/**
 * Makes a namespace and pins it.
 * @param path of the pin; its directories are made as needed
 * @param inside runs in the new namespace before it is pinned: make the sockets here. Nothing is left when it throws
 * @throws conflict (EEXIST) when a namespace is pinned there already
 */
export function createNetns<T>(path: string, inside: () => T): T {
  const home = ownNetns();
  makePinFile(path);
  try {
    check(libc.unshare(schedH.CLONE_NEWNET), 'unshare --net');
    here = null;
    return finishAndReturn(home, () => {
      const result = inside();
      bind(THREAD_NETNS, path);
      return result;
    });
  } catch (error) {
    unpinNetns(path);
    throw error;
  }
}

/** Makes a namespace without a pin: it lives as long as the descriptor, and what is in it. */
export function createUnpinnedNetns(): Fd {
  const home = ownNetns();
  check(libc.unshare(schedH.CLONE_NEWNET), 'unshare --net');
  here = null;
  return finishAndReturn(home, () => openFile(THREAD_NETNS, fcntlH.O_RDONLY));
}

/**
 * Pins an existing namespace.
 * @param source a namespace file such as /proc/PID/ns/net
 * @throws not-found when the source is no namespace; conflict (EEXIST) when `path` is a pin already
 */
export function pinNetns(source: string, path: string): void {
  using netns = openNetns(source);
  makePinFile(path);
  try {
    bind(`/proc/self/fd/${netns.number}`, path);
  } catch (error) {
    unlinkIfThere(path);
    throw error;
  }
}

/**
 * Removes a pin; the namespace dies with its last process, socket and descriptor.
 * @returns false when it was gone already
 */
export function unpinNetns(path: string): boolean {
  // A path can be mounted over several times; EINVAL says that no mount is left.
  while (libc.umount2(path, mountH.MNT_DETACH | mountH.UMOUNT_NOFOLLOW) === 0);
  return unlinkIfThere(path);
}

/** Is there a network namespace at this path? */
export function isNetns(path: string): boolean {
  if (!isNsfs(path)) return false;
  try {
    openNetns(path).close();
    return true;
  } catch (error) {
    if (error instanceof MoorError && error.kind === 'not-found') return false;
    throw error;
  }
}

/** Paths right under a directory that are network namespaces; none when there is no such directory. */
export function listPins(directory: string): readonly string[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if (isNodeCode(error, 'ENOENT')) return [];
    throw error;
  }
  return names.map((name) => join(directory, name)).filter(isNetns);
}

/** Device and inode: equal for two files of the same namespace. */
export function netnsIdentity(netns: Fd | string): string {
  const { dev, ino } = typeof netns === 'string' ? statSync(netns) : fstatSync(netns.number);
  return `${dev}:${ino}`;
}

/** For the one who leaves for good (sandbox.ts): the thread is in `netns` from now on. */
export function moveToNetns(netns: Fd): void {
  check(libc.setns(netns.number, schedH.CLONE_NEWNET), () => `setns ${netns.what}`);
  here = null;
}

function finishAndReturn<T>(home: Fd, body: () => T): T {
  try {
    const result = body();
    if (result instanceof Promise)
      throw new MoorError('internal', 'Cannot wait inside a network namespace: the body is asynchronous');
    return result;
  } finally {
    if (libc.setns(home.number, schedH.CLONE_NEWNET) !== 0) process.abort();
    here = home;
  }
}

/** The file to mount on. One that is left over from before a crash or a reboot is used again. */
function makePinFile(path: string): void {
  const flags = fcntlH.O_RDONLY | fcntlH.O_CREAT | fcntlH.O_EXCL;
  try {
    openFile(path, flags, 0o444).close();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
      openFile(path, flags, 0o444).close();
    } else if (!hasCode(error, 'EEXIST') || isNetns(path)) {
      throw error;
    }
  }
}

function bind(source: string, path: string): void {
  check(libc.mount(source, path, null, mountH.MS_BIND, null), () => `mount --bind ${source} ${path}`);
}

function isNsfs(path: string): boolean {
  try {
    return statfsSync(path).type === nsfsH.NSFS_MAGIC;
  } catch (error) {
    if (isNodeCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ESRCH')) return false;
    throw error;
  }
}

function unlinkIfThere(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (isNodeCode(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

const isNodeCode = (error: unknown, ...codes: readonly string[]): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
