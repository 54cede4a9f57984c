/**
 * A name that one process of a network namespace can hold: an abstract socket (unix(7)). It is free again when its process ends,
 * whatever the end, and leaves nothing anywhere.
 */
import { socketH } from './constants.ts';
import { hasCode } from './errors.ts';
import { Fd } from './fd.ts';
import { check, libc } from './libc.ts';

/** `struct ucred`, <sys/socket.h>: i32 pid, u32 uid at 4, u32 gid at 8. */
const UCRED = 12;

/** @param name up to 106 bytes @returns what holds it until it is closed; null: another process has it */
export function holdName(name: string): Fd | null {
  const fd = open(name);
  try {
    const address = addressOf(name);
    check(libc.bind(fd.number, address, address.length), () => `bind @${name}`);
    // For `holderOf`; nobody is answered.
    check(libc.listen(fd.number, 0), () => `listen @${name}`);
    return fd;
  } catch (error) {
    fd.close();
    if (hasCode(error, 'EADDRINUSE')) return null;
    throw error;
  }
}

/** Who holds a name, as of when it was taken. The pid is 0 when it cannot be seen from here. null: nobody, or the queue is full */
export function holderOf(name: string): { readonly pid: number; readonly uid: number } | null {
  using fd = open(name);
  const address = addressOf(name);
  if (libc.connect(fd.number, address, address.length) < 0) return null;
  const credentials = new Uint8Array(UCRED);
  const size = new Uint32Array([UCRED]);
  check(libc.getsockopt(fd.number, socketH.SOL_SOCKET, socketH.SO_PEERCRED, credentials, size), 'getsockopt(SO_PEERCRED)');
  const view = new DataView(credentials.buffer);
  return { pid: view.getInt32(0, true), uid: view.getUint32(4, true) };
}

function open(name: string): Fd {
  const { AF_UNIX, SOCK_SEQPACKET, SOCK_CLOEXEC, SOCK_NONBLOCK } = socketH;
  return new Fd(
    check(libc.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'socket(AF_UNIX, SOCK_SEQPACKET)'),
    `@${name}`,
  );
}

/** `struct sockaddr_un`: u16 family, then the name, which begins with NUL. */
function addressOf(name: string): Uint8Array {
  const raw = Buffer.from(`\0${name}`);
  const address = new Uint8Array(2 + raw.length);
  new DataView(address.buffer).setUint16(0, socketH.AF_UNIX, true);
  address.set(raw, 2);
  return address;
}
