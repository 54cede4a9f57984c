/** UNIX stream sockets that hand over descriptors (unix(7), cmsg(3)). Nothing here waits. */
import { constants } from 'node:os';
import { fcntlH, socketH } from './constants.ts';
import { kernelError } from './errors.ts';
import { Fd, openFile } from './fd.ts';
import { addressOf, check, lastErrno, libc } from './libc.ts';

/** Where a socket is: a name in a directory, whose own path may be longer than the 107 bytes that `struct sockaddr_un` has room for. */
export interface UnixPlace {
  readonly directory: string;
  readonly name: string;
}

/** `struct mmsghdr`: name 0, iov 16, iovlen 24, control 32, controllen 40, flags 48, sent 56; 64 bytes. <sys/socket.h> */
const HEADER = 64;
/** `struct iovec`: pointer, size_t. */
const IOVEC = 16;
/** `struct cmsghdr`: size_t len, int level, int type, then the descriptors. */
const CMSG = 16;
/** Descriptors in one message. */
const MOST = 4;
const CONTROL_AT = HEADER + IOVEC;
const SIZE = CONTROL_AT + CMSG + MOST * 4 + 8;

const { EAGAIN, EINTR } = constants.errno;

/** Opens a socket and does something with its address. */
function withPlace({ directory, name }: UnixPlace, work: (socket: Fd, address: Uint8Array) => void): Fd {
  using folder = openFile(directory, fcntlH.O_PATH | fcntlH.O_DIRECTORY);
  const raw = Buffer.from(`/proc/self/fd/${folder.number}/${name}\0`);
  const address = new Uint8Array(2 + raw.length);
  new DataView(address.buffer).setUint16(0, socketH.AF_UNIX, true);
  address.set(raw, 2);
  const type = socketH.SOCK_STREAM | socketH.SOCK_CLOEXEC | socketH.SOCK_NONBLOCK;
  const socket = new Fd(check(libc.socket(socketH.AF_UNIX, type, 0), 'socket(AF_UNIX)'), `${directory}/${name}`);
  try {
    work(socket, address);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** @throws conflict (EADDRINUSE) when the name is there already, whether anybody listens or not */
export const listenUnix = (place: UnixPlace): Fd =>
  withPlace(place, (socket, address) => {
    check(libc.bind(socket.number, address, address.length), () => `bind ${socket.what}`);
    check(libc.listen(socket.number, 16), () => `listen ${socket.what}`);
  });

/** @throws not-found when there is no such name; unavailable (ECONNREFUSED) when nobody listens */
export const connectUnix = (place: UnixPlace): Fd =>
  withPlace(place, (socket, address) => {
    check(libc.connect(socket.number, address, address.length), () => `connect ${socket.what}`);
  });

/** The headers of one message whose only part is `data`, with room for descriptors behind it. */
function messageOf(data: Uint8Array<ArrayBuffer>): { readonly bytes: Uint8Array<ArrayBuffer>; readonly view: DataView } {
  const bytes = new Uint8Array(SIZE);
  const view = new DataView(bytes.buffer);
  const base = addressOf(bytes);
  view.setBigUint64(16, BigInt(base + HEADER), true);
  view.setBigUint64(24, 1n, true);
  view.setBigUint64(32, BigInt(base + CONTROL_AT), true);
  view.setBigUint64(HEADER, BigInt(addressOf(data)), true);
  view.setBigUint64(HEADER + 8, BigInt(data.length), true);
  return { bytes, view };
}

/**
 * Sends bytes, and with the first of them up to four descriptors, which the receiver gets as its own.
 * @returns bytes taken, at least one
 * @throws by errno; EAGAIN when there is no room at all
 */
export function sendDescriptors(socket: Fd, data: Uint8Array<ArrayBuffer>, fds: readonly Fd[]): number {
  const { bytes, view } = messageOf(data);
  const length = CMSG + fds.length * 4;
  view.setBigUint64(40, BigInt(length), true);
  view.setBigUint64(CONTROL_AT, BigInt(length), true);
  view.setInt32(CONTROL_AT + 8, socketH.SOL_SOCKET, true);
  view.setInt32(CONTROL_AT + 12, socketH.SCM_RIGHTS, true);
  for (const [i, fd] of fds.entries()) view.setInt32(CONTROL_AT + CMSG + i * 4, fd.number, true);
  check(libc.sendmmsg(socket.number, addressOf(bytes), 1, socketH.MSG_NOSIGNAL), () => `sendmsg ${socket.what}`);
  return view.getUint32(56, true);
}

/**
 * Receives what is there, without waiting.
 * @returns length: bytes in `into`, 0 when the peer has closed, -1 when nothing is there; fds: the caller's to close
 * @throws by errno when the connection has failed
 */
export function receiveDescriptors(
  socket: Fd,
  into: Uint8Array<ArrayBuffer>,
): { readonly length: number; readonly fds: readonly Fd[] } {
  const { bytes, view } = messageOf(into);
  view.setBigUint64(40, BigInt(SIZE - CONTROL_AT), true);
  const flags = socketH.MSG_DONTWAIT | socketH.MSG_CMSG_CLOEXEC;
  const length = libc.recvmsg(socket.number, addressOf(bytes), flags);
  if (length < 0) {
    const errno = lastErrno();
    if (errno === EAGAIN || errno === EINTR) return { length: -1, fds: [] };
    throw kernelError(`recvmsg ${socket.what}`, errno);
  }
  const fds: Fd[] = [];
  // The only kind of control message that such a socket gets without asking for more.
  const control = Number(view.getBigUint64(40, true)) < CMSG ? 0 : Number(view.getBigUint64(CONTROL_AT, true));
  for (let at = CMSG; at + 4 <= control; at += 4) {
    fds.push(new Fd(view.getInt32(CONTROL_AT + at, true), `descriptor from ${socket.what}`));
  }
  return { length, fds };
}
