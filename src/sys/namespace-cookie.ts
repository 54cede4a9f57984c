/** A number for a network namespace that no other one of this boot has, ever. */
import { cookieH } from './constants-bpf.ts';
import { socketH } from './constants.ts';
import { Fd } from './fd.ts';
import { check, libc } from './libc.ts';

/** Of the calling thread's namespace: SO_NETNS_COOKIE, Linux 5.14. @throws unsupported before that (ENOPROTOOPT) */
export function netnsCookie(): bigint {
  const operation = 'getsockopt SO_NETNS_COOKIE';
  using socket = new Fd(check(libc.socket(socketH.AF_INET, socketH.SOCK_DGRAM, 0), operation), 'socket');
  const value = new BigUint64Array(1);
  const size = Uint32Array.of(value.byteLength);
  const bytes = new Uint8Array(value.buffer);
  check(libc.getsockopt(socket.number, socketH.SOL_SOCKET, cookieH.SO_NETNS_COOKIE, bytes, size), operation);
  return value[0] ?? 0n;
}
