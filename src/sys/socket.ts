/** Netlink sockets at the level of system calls: whole datagrams in and out, through one buffer that is reused. */
import { AsideWrite } from './aio.ts';
import { netlinkSocketH, sockiosH, socketH } from './constants.ts';
import { errnoName, kernelError } from './errors.ts';
import { aside, Fd } from './fd.ts';
import { addressOf, check, lastErrno, libc } from './libc.ts';

const { SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_LISTEN_ALL_NSID } = netlinkSocketH;

/** Kernel dumps come in datagrams of at most 32 KiB (netlink_recvmsg remembers what we offer); single messages are smaller than 64 KiB. */
const RECEIVE = 65536;
/** `struct msghdr`, <sys/socket.h>: name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48. */
const MSGHDR = 56;
const IOVEC = 16;
/** `struct sockaddr_nl`, <linux/netlink.h>: u16 family, u16 pad, u32 pid at 4, u32 groups at 8. */
const SOCKADDR_NL = 12;
/** Room for a few control messages; ours is 20 bytes. */
const CONTROL = 64;
const IOV_AT = MSGHDR;
const NAME_AT = IOV_AT + IOVEC;
const CONTROL_AT = 88; // NAME_AT + SOCKADDR_NL, aligned to 8
const DATA_AT = CONTROL_AT + CONTROL;
/** `struct ifreq`, <linux/if.h>: char name[IFNAMSIZ] at 0, here int ifindex at 16; 40 bytes with 64-bit pointers. */
const IFREQ = 40;
const IFNAMSIZ = 16;
/** `struct cmsghdr`: size_t len, int level, int type, then data. */
const CMSGHDR = 16;

/** Memory of one socket: what recvmsg(2) is given, and what it fills. */
class Arena {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly head: DataView<ArrayBuffer>;
  /** Address of the `struct msghdr`. */
  readonly message: number;

  constructor() {
    const arena = new ArrayBuffer(DATA_AT + RECEIVE);
    this.bytes = new Uint8Array(arena, DATA_AT);
    this.head = new DataView(arena, 0, DATA_AT);
    const base = addressOf(new Uint8Array(arena));
    this.message = base;
    const pointer = (at: number, target: number): void => this.head.setBigUint64(at, BigInt(base + target), true);
    pointer(0, NAME_AT);
    pointer(16, IOV_AT);
    this.head.setBigUint64(24, 1n, true);
    pointer(32, CONTROL_AT);
    pointer(IOV_AT, DATA_AT);
    this.head.setBigUint64(IOV_AT + 8, BigInt(RECEIVE), true);
  }
}

/**
 * Of sockets that were closed, for those that are opened next: an operation opens several for a moment, and new memory has to be
 * cleared, mapped page by page, and collected again.
 */
const spare: Arena[] = [];
const SPARES = 8;

export class NetlinkFd implements Disposable {
  readonly fd: Fd;
  /** Of the last datagram: id of the namespace it came from, null = the socket's own. */
  nsid: number | null = null;
  readonly #arena: Arena;
  readonly #head: DataView<ArrayBuffer>;

  /**
   * In the calling thread's namespace.
   * @param protocol NETLINK_*
   * @param receiveBuffer bytes; beyond it notifications are lost. Counted in the kernel's own memory, about 1 KB per small message
   * @throws unsupported when the kernel lacks the protocol
   */
  constructor(protocol: number, receiveBuffer: number) {
    const type = socketH.SOCK_RAW | socketH.SOCK_CLOEXEC;
    const number = check(libc.socket(socketH.AF_NETLINK, type, protocol), `socket(AF_NETLINK, ${protocol})`);
    // There may be one in every sandbox.
    this.fd = aside(new Fd(number, 'netlink socket'));
    this.#arena = spare.pop() ?? new Arena();
    this.#head = this.#arena.head;
    try {
      const { SOL_SOCKET, SO_RCVBUFFORCE, SO_SNDBUFFORCE } = socketH;
      this.setOption(SOL_SOCKET, SO_RCVBUFFORCE, receiveBuffer);
      this.setOption(SOL_SOCKET, SO_SNDBUFFORCE, 1 << 20);
      const address = new Uint8Array(SOCKADDR_NL);
      new DataView(address.buffer).setUint16(0, socketH.AF_NETLINK, true);
      check(libc.bind(this.fd.number, address, SOCKADDR_NL), 'bind(AF_NETLINK)');
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Where `receive` puts what it gets; overwritten by the next one, and not to be read after `close`. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#arena.bytes;
  }

  setOption(level: number, name: number, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, value, true);
    check(libc.setsockopt(this.fd.number, level, name, bytes, 4), () => `setsockopt(${level}, ${name}, ${value})`);
  }

  /**
   * Name of a link in the socket's namespace, '' when no link has this index. One system call without locks, where RTM_GETLINK is three and
   * a message of 1.5 KB. (The way back, SIOCGIFINDEX, is none: for a name that nobody has, the kernel would run modprobe.)
   */
  linkName(index: number): string {
    const request = new Uint8Array(IFREQ);
    new DataView(request.buffer).setInt32(IFNAMSIZ, index, true);
    if (libc.ioctl(this.fd.number, sockiosH.SIOCGIFNAME, request) < 0) {
      const errno = lastErrno();
      if (errnoName(errno) === 'ENODEV') return '';
      throw kernelError(`ioctl(SIOCGIFNAME, ${index})`, errno);
    }
    return Buffer.from(request.buffer, 0, request.indexOf(0)).toString();
  }

  /** Joins a multicast group. @param group NFNLGRP_*, RTNLGRP_* */
  join(group: number): void {
    this.setOption(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
  }

  /** Sends the first `length` bytes as one datagram. The kernel has handled it, and queued its answers, when this returns. */
  send(bytes: Uint8Array, length: number): void {
    check(libc.send(this.fd.number, bytes, length, socketH.MSG_NOSIGNAL), 'send(AF_NETLINK)');
  }

  /**
   * The same on another thread, for what keeps the kernel busy after its answer is known. This one goes on.
   * @returns whose end must be awaited before this is closed
   */
  sendAside(bytes: Uint8Array): AsideWrite {
    return new AsideWrite(this.fd, bytes);
  }

  /**
   * Takes one datagram, without waiting.
   * @returns its length in `bytes`, or -1 when there is none
   * @throws exhausted (ENOBUFS) when datagrams were lost because the receive buffer was full; the ones after that can still be received
   */
  receive(): number {
    for (;;) {
      this.#head.setUint32(8, SOCKADDR_NL, true);
      this.#head.setBigUint64(40, BigInt(CONTROL), true);
      const length = libc.recvmsg(this.fd.number, this.#arena.message, socketH.MSG_DONTWAIT);
      if (length < 0) {
        const errno = lastErrno();
        const code = errnoName(errno);
        if (code === 'EAGAIN') return -1;
        if (code === 'EINTR') continue;
        throw kernelError('recvmsg(AF_NETLINK)', errno);
      }
      if (this.#head.getUint32(48, true) & socketH.MSG_TRUNC) {
        throw kernelError('recvmsg(AF_NETLINK)', 90, `a message is longer than ${RECEIVE} bytes`); // EMSGSIZE
      }
      // A port other than 0 is another process: only the kernel is believed.
      if (this.#head.getUint32(NAME_AT + 4, true) !== 0) continue;
      this.nsid = this.#controlNsid();
      return length;
    }
  }

  #controlNsid(): number | null {
    const end = Math.min(Number(this.#head.getBigUint64(40, true)), CONTROL);
    for (let at = 0; at + CMSGHDR <= end; ) {
      const length = Number(this.#head.getBigUint64(CONTROL_AT + at, true));
      if (length < CMSGHDR || at + length > end) return null;
      const level = this.#head.getInt32(CONTROL_AT + at + 8, true);
      const type = this.#head.getInt32(CONTROL_AT + at + 12, true);
      if (level === SOL_NETLINK && type === NETLINK_LISTEN_ALL_NSID && length >= CMSGHDR + 4) {
        return this.#head.getInt32(CONTROL_AT + at + CMSGHDR, true);
      }
      at += (length + 7) & ~7;
    }
    return null;
  }

  close(): void {
    if (this.fd.number < 0) return;
    this.fd.close();
    if (spare.length < SPARES) spare.push(this.#arena);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
