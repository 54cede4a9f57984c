/** What errno means to us. */
import { constants } from 'node:os';
import { getSystemErrorMessage } from 'node:util';
import { type ErrorKind, MoorError } from '../base/errors.ts';

const NAMES = new Map<number, string>();
// EAGAIN and EWOULDBLOCK, ENOTSUP and EOPNOTSUPP share a number; the first of these names is the one that people know.
for (const [name, number] of Object.entries(constants.errno)) if (!NAMES.has(number)) NAMES.set(number, name);
NAMES.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP');

const KINDS: Readonly<Record<string, ErrorKind>> = {
  EEXIST: 'conflict',
  EBUSY: 'conflict',
  ENOTEMPTY: 'conflict',
  EADDRINUSE: 'conflict',
  ENOENT: 'not-found',
  ENODEV: 'not-found',
  ENXIO: 'not-found',
  ESRCH: 'not-found',
  EADDRNOTAVAIL: 'not-found',
  EPERM: 'forbidden',
  EACCES: 'forbidden',
  EROFS: 'forbidden',
  ENOSYS: 'unsupported',
  EOPNOTSUPP: 'unsupported',
  EAFNOSUPPORT: 'unsupported',
  EPROTONOSUPPORT: 'unsupported',
  EINVAL: 'invalid',
  ERANGE: 'invalid',
  ENAMETOOLONG: 'invalid',
  ENETUNREACH: 'invalid',
  EHOSTUNREACH: 'invalid',
  ENOTDIR: 'invalid',
  EISDIR: 'invalid',
  ENOMEM: 'exhausted',
  ENOBUFS: 'exhausted',
  ENOSPC: 'exhausted',
  EMFILE: 'exhausted',
  ENFILE: 'exhausted',
  EXFULL: 'exhausted', // a bridge with 1,023 ports
  EUSERS: 'exhausted',
  EAGAIN: 'unavailable',
  ENETDOWN: 'unavailable',
  ECONNREFUSED: 'unavailable',
  ETIMEDOUT: 'timeout',
};

/** Numbers that Node does not name. <asm-generic/errno.h> */
const MORE: readonly (readonly [number: number, name: string, text: string])[] = [
  [54, 'EXFULL', 'exchange full'],
  [87, 'EUSERS', 'too many users'],
];
for (const [number, name] of MORE) NAMES.set(number, name);

/** `EEXIST` for 17, `E999` for a number without a name. */
export const errnoName = (errno: number): string => NAMES.get(errno) ?? `E${errno}`;

export const errnoKind = (errno: number): ErrorKind => KINDS[errnoName(errno)] ?? 'internal';

/**
 * A kernel error kept whole.
 * @param operation what was tried, in words of a command line: `ip link add veth1 type veth peer name eth0`
 * @param errno positive
 * @param extack the kernel's own explanation, shown in place of errno's text
 */
export function kernelError(operation: string, errno: number, extack?: string): MoorError {
  const code = errnoName(errno);
  const why = extack ? `${extack.replace(/\.$/, '')} (${code})` : `${errnoText(errno)} (${code})`;
  return new MoorError(errnoKind(errno), `${operation}: ${why}`, {
    kernel: { operation, errno, code, ...(extack ? { extack } : {}) },
  });
}

function errnoText(errno: number): string {
  const known = MORE.find(([number]) => number === errno);
  // libuv's numbers are errno negated on Linux.
  return known ? known[2] : getSystemErrorMessage(-errno);
}

/** Is it a kernel error with one of these codes? */
export const hasCode = (error: unknown, ...codes: readonly string[]): boolean =>
  error instanceof MoorError && error.kernel !== undefined && codes.includes(error.kernel.code);
