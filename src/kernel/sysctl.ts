/** /proc/sys of a namespace: the thread's own decides what is under /proc/sys/net. */
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { MoorError } from '../base/errors.ts';
import { type Change, HOST } from '../contracts/change.ts';
import type { Applied } from '../contracts/kernel.ts';
import type { Fd } from '../sys/fd.ts';
import { kernelError } from '../sys/errors.ts';
import { openNetns, withNetns } from '../sys/netns.ts';
import { ALREADY, CHANGED } from './failure.ts';
import { procSys } from './proc-sys.ts';
import type { Space } from './spaces.ts';

type Sysctl = Extract<Change, { kind: 'sysctl' }>;

/**
 * Limits that the whole machine shares: one neighbour table (`arp_tbl`, net/ipv4/arp.c), one length of the queues between network
 * devices (`net_hotdata.max_backlog`, net/core/dev.c). They show only in the machine's first namespace: a daemon in another one
 * reaches them through that of process 1, and only ever raises them, since others live by them, too.
 */
const MACHINE_LIMIT = /^net\/(?:ipv[46]\/neigh\/default\/gc_thresh[123]|core\/netdev_max_backlog)$/;

/** @param space where the key is to be written */
export function applySysctl(change: Sysctl, space: Space): Applied {
  const netns = space.netns === HOST ? null : space.namespace.netns;
  const { key, value } = change;
  if (!/^[A-Za-z0-9_@:.-]+(?:\/[A-Za-z0-9_@:.-]+)+$/.test(key) || key.split('/').includes('..')) {
    throw new MoorError('invalid', 'not a key below /proc/sys');
  }
  const limit = change.netns === HOST && MACHINE_LIMIT.test(key);
  const enough = (old: string): boolean => old === normal(value) || (limit && Number(old) >= Number(value));
  const device = DEVICE.exec(key)?.[1];
  // Of a device that was made a moment ago nobody needs to know what it was born with.
  const known = device !== undefined && space.isBorn(device) ? null : enough;
  return within(limit ? homeOf(key) : { netns, [Symbol.dispose]() {} }, () => (write(key, value, known) ? CHANGED : ALREADY));
}

/** `net/ipv6/conf/eth0/disable_ipv6` */
const DEVICE = /^net\/ipv[46]\/(?:conf|neigh)\/([^/]+)\//;

/** More than nearly all values have (bytes). */
const current = Buffer.alloc(256);

/**
 * Reads and writes through one descriptor: a plan writes several of these.
 * @param enough null: do not look
 * @returns false when what is there is enough
 */
function write(key: string, value: string, enough: ((old: string) => boolean) | null): boolean {
  let fd: number;
  try {
    // No O_CREAT or O_TRUNC: these files exist or not.
    fd = openSync(`${procSys()}/${key}`, 'r+');
  } catch (error) {
    // One that may only be read, and may be right as it is.
    const old = read(key);
    if (old === null) throw new MoorError('not-found', `no such key: ${key}`);
    if (enough?.(old) === true) return false;
    throw fileError(error, `sysctl -w ${key}`);
  }
  try {
    if (enough !== null) {
      const length = readSync(fd, current, 0, current.length, 0);
      const old = length < current.length ? normal(current.toString('utf8', 0, length)) : (read(key) ?? '');
      if (enough(old)) return false;
    }
    // At the start: the kernel takes nothing elsewhere (sysctl_writes_strict).
    writeSync(fd, value, 0);
    return true;
  } catch (error) {
    throw fileError(error, `sysctl -w ${key}`);
  } finally {
    closeSync(fd);
  }
}

/** Values of those keys that exist, as the host's namespace shows them. */
export function readSysctls(keys: readonly string[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const key of keys) {
    const value = MACHINE_LIMIT.test(key) ? within(homeOf(key), () => read(key)) : read(key);
    if (value !== null) out[key] = value;
  }
  return out;
}

interface Home extends Disposable {
  readonly netns: Fd | null;
}

/** Where a key of the whole machine shows: here, or in the namespace of process 1 if we may enter that. */
function homeOf(key: string): Home {
  const here = { netns: null, [Symbol.dispose]() {} };
  if (read(key) !== null) return here;
  try {
    const first = openNetns('/proc/1/ns/net');
    return { netns: first, [Symbol.dispose]: () => first.close() };
  } catch (error) {
    if (error instanceof MoorError) return here;
    throw error;
  }
}

function within<T>(home: Home, body: () => T): T {
  using place = home;
  return place.netns === null ? body() : withNetns(place.netns, body);
}

/** null = no such key */
function read(key: string): string | null {
  try {
    return normal(readFileSync(`${procSys()}/${key}`, 'utf8'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw fileError(error, `sysctl ${key}`);
  }
}

/** The kernel separates several values by tabs. */
const normal = (value: string): string => value.trim().replaceAll(/\s+/g, ' ');

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '');

/** An error of node:fs as a kernel error. */
export function fileError(error: unknown, operation: string): unknown {
  const errno = error instanceof Error && 'errno' in error && typeof error.errno === 'number' ? -error.errno : 0;
  return errno > 0 ? kernelError(operation, errno) : error;
}
