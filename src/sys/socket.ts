/** Netlink sockets at the level of system calls: whole datagrams in and out, through one buffer for all sockets of a thread. */
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
const ifreq = Buffer.alloc(IFREQ);
const nameRequest = { bytes: ifreq, view: new DataView(ifreq.buffer, ifreq.byteOffset, IFREQ) };
/** `struct cmsghdr`: size_t len, int level, int type, then data. */
const CMSGHDR = 16;

/** What recvmsg(2) is given, and what it fills. */
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
 * One for all sockets of a thread: what was received is read before anybody receives again. There may be a socket in every sandbox, and 64 KiB for
 * each would have to be cleared, mapped page by page, and collected again.
 */
let arena: Arena | undefined;

export class NetlinkFd implements Disposable {
  readonly fd: Fd;
  /** Of the last datagram: id of the namespace it came from, null = the socket's own. */
  nsid: number | null = null;
  readonly #arena = (arena ??= new Arena());
  readonly #head = this.#arena.head;

  /**
   * In the calling thread's namespace. The kernel gives it an address with its first message, or when it joins a group.
   * @param protocol NETLINK_*
   * @throws unsupported when the kernel lacks the protocol
   */
  constructor(protocol: number) {
    const type = socketH.SOCK_RAW | socketH.SOCK_CLOEXEC;
    const number = check(libc.socket(socketH.AF_NETLINK, type, protocol), `socket(AF_NETLINK, ${protocol})`);
    // There may be one in every sandbox.
    this.fd = aside(new Fd(number, 'netlink socket'));
  }

  /**
   * Room for messages that wait. What a socket is born with is 208 KiB each (net.core.rmem_default, wmem_default).
   * @param receive bytes; beyond it notifications and answers are lost. Counted in the kernel's own memory, about 1 KB per small message
   * @param send bytes of one send
   */
  setRoom({ receive, send }: { readonly receive?: number; readonly send?: number }): void {
    const { SOL_SOCKET, SO_RCVBUFFORCE, SO_SNDBUFFORCE } = socketH;
    if (receive !== undefined) this.setOption(SOL_SOCKET, SO_RCVBUFFORCE, receive);
    if (send !== undefined) this.setOption(SOL_SOCKET, SO_SNDBUFFORCE, send);
  }

  /** Where `receive` puts what it gets; overwritten by the next one of any socket of this thread. */
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
    nameRequest.view.setInt32(IFNAMSIZ, index, true);
    if (libc.ioctl(this.fd.number, sockiosH.SIOCGIFNAME, nameRequest.bytes) < 0) {
      const errno = lastErrno();
      if (errnoName(errno) === 'ENODEV') return '';
      throw kernelError(`ioctl(SIOCGIFNAME, ${index})`, errno);
    }
    return nameRequest.bytes.toString('utf8', 0, nameRequest.bytes.indexOf(0));
  }

  /** Joins multicast groups. With an address first: what the kernel sends for nobody in particular leaves out who has none. @param groups NFNLGRP_*, RTNLGRP_* */
  join(groups: readonly number[]): void {
    const address = new Uint8Array(SOCKADDR_NL);
    new DataView(address.buffer).setUint16(0, socketH.AF_NETLINK, true);
    check(libc.bind(this.fd.number, address, SOCKADDR_NL), 'bind(AF_NETLINK)');
    for (const group of groups) this.setOption(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
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
      this.#head.setUint32(40, CONTROL, true);
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
    // Sizes of eight bytes, far below what four hold.
    const end = Math.min(this.#head.getUint32(40, true), CONTROL);
    for (let at = 0; at + CMSGHDR <= end; ) {
      const length = this.#head.getUint32(CONTROL_AT + at, true);
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
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
