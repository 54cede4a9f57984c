/** Internet sockets that never wait, in the calling thread's namespace. */
import { constants } from 'node:os';
import { type IpAddress, familyOf, ipBytes } from '../base/ip.ts';
import { inetH, socketH } from './constants.ts';
import { errnoKind, kernelError } from './errors.ts';
import { aside, Fd } from './fd.ts';
import { check, lastErrno, libc } from './libc.ts';

export type Transport = 'udp' | 'tcp';

export interface SocketAddress {
  readonly address: IpAddress;
  readonly port: number;
}

const show = ({ address, port }: SocketAddress): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** `struct sockaddr_in` (16 bytes) or `sockaddr_in6` (28): u16 family, u16 port in network order; v4 address at 4, v6 at 8. <netinet/in.h> */
export function encodeAddress({ address, port }: SocketAddress): Uint8Array<ArrayBuffer> {
  const v6 = familyOf(address) === 6;
  const bytes = new Uint8Array(v6 ? 28 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, v6 ? socketH.AF_INET6 : socketH.AF_INET, true);
  view.setUint16(2, port);
  bytes.set(ipBytes(address), v6 ? 8 : 4);
  return bytes;
}

function open(transport: Transport, to: SocketAddress): Fd {
  const type = transport === 'udp' ? socketH.SOCK_DGRAM : socketH.SOCK_STREAM;
  const family = familyOf(to.address) === 6 ? socketH.AF_INET6 : socketH.AF_INET;
  const what = `${transport} ${show(to)}`;
  return new Fd(
    check(libc.socket(family, type | socketH.SOCK_NONBLOCK | socketH.SOCK_CLOEXEC, 0), () => `socket for ${what}`),
    what,
  );
}

/** @param level SOL_SOCKET or a protocol */
export function setOption(fd: Fd, level: number, option: { readonly name: number; readonly value: number }): void {
  const bytes = new Uint8Array(Int32Array.of(option.value).buffer);
  check(libc.setsockopt(fd.number, level, option.name, bytes, 4), () => `setsockopt(${level}, ${option.name}) of ${fd.what}`);
}

/**
 * A socket that is bound and, for TCP, listens. The address need not be there yet (IP_FREEBIND): a namespace's loopback may still be down.
 * @throws conflict (EADDRINUSE) when a program has the port
 */
export function listenOn(transport: Transport, at: SocketAddress, backlog: number): Fd {
  const fd = open(transport, at);
  try {
    setOption(fd, inetH.IPPROTO_IP, { name: inetH.IP_FREEBIND, value: 1 });
    // What an earlier listener left in TIME_WAIT does not matter. For UDP it would let another program in.
    if (transport === 'tcp') setOption(fd, socketH.SOL_SOCKET, { name: socketH.SO_REUSEADDR, value: 1 });
    const address = encodeAddress(at);
    check(libc.bind(fd.number, address, address.length), () => `bind ${fd.what}`);
    if (transport === 'tcp') check(libc.listen(fd.number, backlog), () => `listen ${fd.what}`);
    // There are two in every sandbox.
    return aside(fd);
  } catch (error) {
    fd.close();
    throw error;
  }
}

/**
 * A connected UDP socket (a port that the kernel chooses at random; only that peer is heard, and its ICMP errors are reported), or a TCP
 * connection that is being made: writable when it is there, or failed, as `socketError` then says.
 * @throws when there is no way there (invalid, ENETUNREACH) or no descriptor left (exhausted)
 */
export function connectTo(transport: Transport, to: SocketAddress): Fd {
  const fd = open(transport, to);
  const address = encodeAddress(to);
  if (libc.connect(fd.number, address, address.length) < 0 && lastErrno() !== constants.errno.EINPROGRESS) {
    try {
      check(-1, () => `connect ${fd.what}`);
    } finally {
      fd.close();
    }
  }
  return fd;
}

/**
 * Takes the next connection of a listening socket.
 * @returns null when there is none (any more)
 * @throws exhausted when no descriptor is left for it: it waits on, and the socket stays readable
 */
export function acceptFrom(listener: Fd): Fd | null {
  const fd = libc.accept4(listener.number, 0, 0, socketH.SOCK_NONBLOCK | socketH.SOCK_CLOEXEC);
  if (fd >= 0) return new Fd(fd, `connection to ${listener.what}`);
  const errno = lastErrno();
  if (errnoKind(errno) === 'exhausted') throw kernelError(`accept of ${listener.what}`, errno);
  return null;
}

const errorBytes = new Uint8Array(4);
const errorSize = new Uint32Array([4]);

/** The error that a socket holds, and forgets by being asked. @returns errno; 0: none */
export function socketError(fd: Fd): number {
  libc.getsockopt(fd.number, socketH.SOL_SOCKET, socketH.SO_ERROR, errorBytes, errorSize);
  return new DataView(errorBytes.buffer).getInt32(0, true);
}

const { EAGAIN, EINTR } = constants.errno;

/** Receives without waiting. @returns bytes; 0: the peer has closed; -1: nothing there; below that: errno negated, less one */
export function receive(fd: Fd, into: Uint8Array): number {
  for (;;) {
    const length = libc.recv(fd.number, into, into.length, socketH.MSG_DONTWAIT);
    if (length >= 0) return length;
    const errno = lastErrno();
    if (errno === EAGAIN) return -1;
    if (errno !== EINTR) return -errno - 1;
  }
}

/** Sends without waiting. @returns bytes taken; -1: no room now; below that: errno negated, less one */
export function send(fd: Fd, bytes: Uint8Array): number {
  for (;;) {
    const length = libc.send(fd.number, bytes, bytes.length, socketH.MSG_DONTWAIT | socketH.MSG_NOSIGNAL);
    if (length >= 0) return length;
    const errno = lastErrno();
    if (errno === EAGAIN) return -1;
    if (errno !== EINTR) return -errno - 1;
  }
}

/** One datagram to an address as `Datagrams.sender` gave it. @returns whether it went out */
export function sendDatagram(fd: Fd, bytes: Uint8Array, to: Uint8Array): boolean {
  const flags = socketH.MSG_DONTWAIT | socketH.MSG_NOSIGNAL;
  return libc.sendto(fd.number, bytes, bytes.length, flags, to, to.length) >= 0;
}
