/**
 * The folder /proc/sys, in which finding a key takes as long with 1,000 sandboxes as with one.
 *
 * Under /proc/sys/net each network namespace has files of its own, with the same names in the same folder: the kernel's cache of names
 * (dcache) keeps them all in one chain, and compares one after the other (proc_sys_compare(), fs/proc/proc_sysctl.c). A name stays there as
 * long as its namespace, so once each of 1,000 sandboxes has been written to, opening a file takes 0.6 ms. Each mount of procfs has a
 * cache of its own (Linux 5.8), so ours is one that nobody else sees, and a new one before its chain is long (docs/adr/0023).
 */
import { MoorError } from '../base/errors.ts';
import type { Fd } from '../sys/fd.ts';
import { mountUnseen } from '../sys/mount.ts';

/** Names in the chain from which on a new mount is worth its price (0.01 ms to make, 0.06 ms to give back), when nobody waits for us. */
const ENOUGH = 32;
/** And when somebody does. */
const MANY = 128;

/** What everybody uses. */
const SHARED = '/proc/sys';

/** Of this thread; null = none yet. */
let mounted: Fd | null = null;
let lookups = 0;
/** Where we may not mount, or the kernel cannot (before Linux 5.2), it is slow with many, and nothing more. */
let refused = false;

/** The folder to look up one key in. Do not keep it. @returns `/proc/self/fd/42/sys` */
export function procSys(): string {
  if (mounted === null || lookups >= MANY) renew();
  lookups += 1;
  return mounted === null ? SHARED : `/proc/self/fd/${mounted.number}/sys`;
}

/** There is nothing to do just now. */
export function restProcSys(): void {
  if (lookups >= ENOUGH) renew();
}

function renew(): void {
  if (refused) return;
  mounted?.close();
  mounted = null;
  lookups = 0;
  try {
    mounted = mountUnseen('proc');
  } catch (error) {
    if (!(error instanceof MoorError)) throw error;
    refused = true;
  }
}
