/**
 * Packets of one flow that follow each other, put together into one large packet for the TUN device, gathered from where they lie. Or one packet that stays alone. The transport checksum
 * is left to the kernel (NEEDS_CSUM), which makes it only for a packet that leaves the machine: the outer checksum has already vouched for the bytes.
 */
import { constants } from 'node:os';
import type { Fd } from '../../sys/fd.ts';
import { mtuOf } from '../../sys/device.ts';
import { lastErrno, libc } from '../../sys/libc.ts';
import { type Arena, IOVEC } from './arena.ts';
import { sum16 } from './checksum.ts';
import type { Counters } from './counters.ts';
import {
  GSO,
  IP4,
  IP6,
  PROTOCOL,
  protocolOf,
  pseudoSum,
  sealIp4,
  TCP,
  TCP_FLAG,
  transportAt,
  UDP,
  VNET,
  VNET_FLAG,
} from './inner.ts';

/** UIO_MAXIOV is 1024. */
const IOVECS = 1024;
/** Of an IPv4 packet; an IPv6 one could be 40 bytes longer. */
const LARGEST = 65_535;
/** UDP_MAX_SEGMENTS of kernels before 6.9. */
const UDP_SEGMENTS = 64;

/** bytes: smaller than any MTU (RFC 8200) */
const SMALL = 1_280;

export const RUN_BYTES = IOVECS * IOVEC + 64 + 2 * 64;

export interface RunDeps {
  readonly arena: Arena;
  readonly tun: Fd;
  readonly device: string;
  /** Any: it leads to what the device is like. */
  readonly udp: Fd;
  /** The device takes UDP segments. */
  readonly udpSegments: boolean;
  readonly counters: Counters;
}

export interface Sender {
  readonly version: 4 | 6;
  /** Slot. */
  readonly peer: number;
  readonly own: boolean;
}

export class Run {
  readonly #deps: RunDeps;
  readonly #iovecs: number;
  readonly #vnet: number;
  /** The packet that is being put together: iovecs in use, 0 = none. */
  #parts = 0;
  #at = 0;
  /** bytes of the first one, and who has sent it */
  #size = 0;
  #peer = -1;
  #version: 4 | 6 = 4;
  #protocol = 0;
  #transport = 0;
  /** bytes of all headers, and of the payload of each segment but the last */
  #header = 0;
  #step = 0;
  #payload = 0;
  #segments = 0;
  #sequence = 0;
  /** Sequence number of the first one. */
  #begins = 0;
  /** The peer may have left checksums to us, or have sent without an outer one. */
  #own = false;
  /** What the checksum field of the first one says. */
  #field = 0;
  /** A shorter segment, or one that asked for a push, is the last. */
  #full = true;

  constructor(deps: RunDeps) {
    const { arena } = deps;
    this.#deps = deps;
    this.#iovecs = arena.take(IOVECS * IOVEC);
    this.#vnet = arena.take(64);
    arena.iovec(this.#iovecs, this.#vnet, VNET.size);
  }

  /**
   * The usual case, for little: a packet of the same peer and size whose headers are, word by word, those of the first one, but for what differs from segment to
   * segment. So what was checked of that one is true of it as well, its source among it.
   * @returns whether it was added; false says nothing about the packet
   */
  addAlike(at: number, size: number, peer: number): boolean {
    if (this.#full || peer !== this.#peer || size !== this.#size || ((at | this.#at) & 3) !== 0 || this.#parts >= IOVECS)
      return false;
    if (this.#header + this.#payload + this.#step > LARGEST) return false;
    const { words, view } = this.#deps.arena;
    const [a, b] = [at >>> 2, this.#at >>> 2];
    if (words[a] !== words[b]) return false;
    if (this.#version === 4) {
      // Little-endian: flags and fragment offset are the upper half, time to live and protocol the lower one.
      if ((((words[a + 1] ?? 0) ^ (words[b + 1] ?? 0)) & 0xffff0000) !== 0) return false;
      if ((((words[a + 2] ?? 0) ^ (words[b + 2] ?? 0)) & 0xffff) !== 0) return false;
      if (words[a + 3] !== words[b + 3] || words[a + 4] !== words[b + 4]) return false;
    } else for (let i = 1; i < IP6.size / 4; i++) if (words[a + i] !== words[b + i]) return false;
    const [top, first] = [a + (this.#transport >>> 2), b + (this.#transport >>> 2)];
    // Ports.
    if (words[top] !== words[first]) return false;
    if (this.#protocol === PROTOCOL.udp) {
      const [own, other] = [words[top + 1] ?? 0, words[first + 1] ?? 0];
      if (((own ^ other) & 0xffff) !== 0 || own >>> 16 === 0 || this.#segments >= UDP_SEGMENTS) return false;
    } else {
      if (view.getUint32(at + this.#transport + TCP.sequence) !== this.#sequence) return false;
      if (this.#own && view.getUint16(at + this.#transport + TCP.checksum) !== this.#field && !this.#vouched(at, size))
        return false;
      // Acknowledgement; header length, flags, window; options.
      if (words[top + 2] !== words[first + 2] || words[top + 3] !== words[first + 3]) return false;
      for (let i = TCP.size / 4, end = (this.#header - this.#transport) >>> 2; i < end; i++)
        if (words[top + i] !== words[first + i]) return false;
      this.#sequence = (this.#sequence + this.#step) >>> 0;
    }
    this.#deps.arena.iovec(this.#iovecs + this.#parts * IOVEC, at + this.#header, this.#step);
    this.#parts++;
    this.#segments++;
    this.#payload += this.#step;
    return true;
  }

  /** Takes nothing more. */
  close(): void {
    this.#full = true;
  }

  /** Its place in the flow is told by its sequence numbers: data of TCP, and nothing else. */
  get ordered(): boolean {
    if (this.#protocol !== PROTOCOL.tcp || this.#payload === 0) return false;
    const flags = this.#deps.arena.view.getUint8(this.#at + this.#transport + TCP.flags);
    return (flags & ~TCP_FLAG.psh) === TCP_FLAG.ack;
  }

  /** It is of the flow of another one. */
  isOf(other: Run): boolean {
    if (this.#protocol === 0 || this.#protocol !== other.#protocol || this.#version !== other.#version) return false;
    const { view } = this.#deps.arena;
    const [a, b] = this.#version === 4 ? [IP4.source, 8] : [IP6.source, 32];
    return (
      this.#same(this.#at + a, other.#at + a, b) &&
      view.getUint32(this.#at + this.#transport) === view.getUint32(other.#at + other.#transport)
    );
  }

  /** Of data of TCP: its first byte comes before the other one's. Sequence numbers go round (RFC 9293 3.4). */
  isBefore(other: Run): boolean {
    return ((this.#begins - other.#begins) | 0) < 0;
  }

  /** One whose place in the order of packets nobody can tell: no TCP, no UDP, or spoiled. */
  get opaque(): boolean {
    return this.#protocol === 0;
  }

  /** Begins with any packet whose lengths are right. */
  begin(at: number, size: number, { version, peer, own }: Sender): void {
    this.#size = size;
    this.#peer = peer;
    this.#own = own;
    this.#begin(at, size, version);
  }

  #begin(at: number, size: number, version: 4 | 6): void {
    const { arena, udpSegments } = this.#deps;
    const { view } = arena;
    const protocol = protocolOf(view, at, version);
    const top = transportAt(view, at, version);
    const room = at + size - top;
    this.#at = at;
    this.#version = version;
    this.#protocol = 0;
    this.#full = true;
    this.#segments = 1;
    arena.iovec(this.#iovecs + IOVEC, at, size);
    this.#parts = 2;
    if (top === 0) return;
    this.#transport = top - at;
    if (protocol === PROTOCOL.tcp && room >= TCP.size) {
      const offset = (view.getUint8(top + TCP.offset) >> 4) * 4;
      if (offset < TCP.size || offset > room) return;
      // Whoever it is for finds it spoiled.
      if (this.#own && !this.#vouched(at, size)) return;
      this.#field = view.getUint16(top + TCP.checksum);
      this.#protocol = protocol;
      this.#header = this.#transport + offset;
      this.#payload = room - offset;
      this.#begins = view.getUint32(top + TCP.sequence);
      this.#sequence = (this.#begins + this.#payload) >>> 0;
      this.#full =
        this.#payload === 0 || view.getUint8(top + TCP.flags) !== TCP_FLAG.ack || (version === 4 && this.#transport !== IP4.size);
    } else if (protocol === PROTOCOL.udp && room >= UDP.size && view.getUint16(top + UDP.length) === room) {
      // Without a checksum it stays so.
      if (view.getUint16(top + UDP.checksum) === 0) return;
      this.#protocol = protocol;
      this.#header = this.#transport + UDP.size;
      this.#payload = room - UDP.size;
      this.#full = !udpSegments || this.#payload === 0 || (version === 4 && this.#transport !== IP4.size);
    }
    this.#step = this.#payload;
  }

  /** Whether a packet is the next of the same flow, and can be told apart from it by its place alone. */
  follows(at: number, size: number, version: 4 | 6): boolean {
    if (this.#full || version !== this.#version || this.#parts >= IOVECS) return false;
    const { view } = this.#deps.arena;
    const payload = size - this.#header;
    const old = this.#at;
    if (payload <= 0 || payload > this.#step || this.#header + this.#payload + payload > LARGEST) return false;
    if (version === 4) {
      // Version and header length, type of service; flags; time to live and protocol; addresses.
      if (view.getUint16(at) !== view.getUint16(old) || view.getUint16(at + IP4.fragment) !== view.getUint16(old + IP4.fragment))
        return false;
      if (view.getUint16(at + 8) !== view.getUint16(old + 8)) return false;
      if (!this.#same(at + IP4.source, old + IP4.source, 8)) return false;
    } else if (view.getUint32(at) !== view.getUint32(old) || !this.#same(at + IP6.nextHeader, old + IP6.nextHeader, 34))
      return false;
    const [top, oldTop] = [at + this.#transport, old + this.#transport];
    if (view.getUint32(top) !== view.getUint32(oldTop)) return false;
    if (this.#protocol === PROTOCOL.udp) {
      return (
        view.getUint16(top + UDP.length) === UDP.size + payload &&
        this.#segments < UDP_SEGMENTS &&
        view.getUint16(top + UDP.checksum) !== 0
      );
    }
    return (
      view.getUint32(top + TCP.sequence) === this.#sequence &&
      view.getUint32(top + TCP.ack) === view.getUint32(oldTop + TCP.ack) &&
      view.getUint8(top + TCP.offset) === view.getUint8(oldTop + TCP.offset) &&
      (view.getUint8(top + TCP.flags) & ~TCP_FLAG.psh) === TCP_FLAG.ack &&
      view.getUint16(top + TCP.window) === view.getUint16(oldTop + TCP.window) &&
      this.#same(top + TCP.size, oldTop + TCP.size, this.#header - this.#transport - TCP.size) &&
      (!this.#own || this.#vouched(at, size))
    );
  }

  /**
   * Whether the TCP checksum is right, or still to be made: then it is the sum of the pseudo-header alone. The kernel of a peer sends datagrams without an outer checksum
   * (fastpath/leave.ts), and has made the inner one if they went over a wire.
   */
  #vouched(at: number, size: number): boolean {
    const { view } = this.#deps.arena;
    const length = size - this.#transport;
    const pseudo = pseudoSum(view, at, { version: this.#version, protocol: PROTOCOL.tcp, length });
    const field = view.getUint16(at + this.#transport + TCP.checksum);
    // 0 and 0xffff are the same number here.
    if (field === pseudo || (field % 0xffff) + (pseudo % 0xffff) === 0) return true;
    return sum16(view, at + this.#transport, { length, start: pseudo }) === 0xffff;
  }

  append(at: number, size: number): void {
    const { arena } = this.#deps;
    const { view } = arena;
    const payload = size - this.#header;
    arena.iovec(this.#iovecs + this.#parts * IOVEC, at + this.#header, payload);
    this.#parts++;
    this.#segments++;
    this.#payload += payload;
    this.#full = payload < this.#step;
    if (this.#protocol !== PROTOCOL.tcp) return;
    this.#sequence = (this.#sequence + payload) >>> 0;
    const flags = view.getUint8(at + this.#transport + TCP.flags);
    if (flags & TCP_FLAG.psh) {
      this.#full = true;
      const first = this.#at + this.#transport + TCP.flags;
      view.setUint8(first, view.getUint8(first) | TCP_FLAG.psh);
    }
  }

  /** Hands over what has been put together. */
  flush(): void {
    if (this.#parts === 0) return;
    const { arena, tun, counters } = this.#deps;
    this.#describe();
    const written = libc.writev(tun.number, arena.base + this.#iovecs, this.#parts);
    // The device's queue is full, or it is down: as on a wire, what it cannot take is lost.
    if (written < 0 && lastErrno() !== constants.errno.EINTR) counters.drop('write', this.#segments);
    this.#parts = 0;
    this.#full = true;
  }

  /** The virtio header, and the inner headers as they are of the whole. */
  #describe(): void {
    const { view, words } = this.#deps.arena;
    const vnet = this.#vnet;
    words[vnet >>> 2] = 0;
    words[(vnet >>> 2) + 1] = 0;
    words[(vnet >>> 2) + 2] = 0;
    if (this.#protocol === 0) return;
    const [at, version, protocol] = [this.#at, this.#version, this.#protocol];
    const top = at + this.#transport;
    const length = this.#header - this.#transport + this.#payload;
    const tcp = protocol === PROTOCOL.tcp;
    if (tcp && this.#segments === 1) this.#large();
    view.setUint8(vnet, VNET_FLAG.needsChecksum);
    view.setUint16(vnet + VNET.checksumStart, this.#transport, true);
    view.setUint16(vnet + VNET.checksumOffset, tcp ? TCP.checksum : UDP.checksum, true);
    view.setUint16(vnet + VNET.headerLength, this.#header, true);
    if (this.#segments > 1) {
      view.setUint8(vnet + VNET.gsoType, tcp ? (version === 4 ? GSO.tcp4 : GSO.tcp6) : GSO.udp);
      view.setUint16(vnet + VNET.gsoSize, this.#step, true);
      if (version === 4) {
        view.setUint16(at + IP4.totalLength, this.#header + this.#payload);
        sealIp4(view, at);
      } else view.setUint16(at + IP6.payloadLength, this.#header - IP6.size + this.#payload);
      if (!tcp) view.setUint16(top + UDP.length, length);
    }
    view.setUint16(top + (tcp ? TCP.checksum : UDP.checksum), pseudoSum(view, at, { version, protocol, length }));
  }

  /** One that came whole, larger than the device takes it: the peer's kernel has sent it so, and no wire has cut it. It is told of as the segments that it would have been. */
  #large(): void {
    const { device, udp } = this.#deps;
    if (this.#header + this.#payload <= SMALL) return;
    const step = mtuOf(udp, device) - this.#header;
    if (step <= 0 || this.#payload <= step) return;
    this.#step = step;
    this.#segments = Math.ceil(this.#payload / step);
  }

  #same(a: number, b: number, length: number): boolean {
    const { view } = this.#deps.arena;
    let i = 0;
    for (; i + 4 <= length; i += 4) if (view.getUint32(a + i) !== view.getUint32(b + i)) return false;
    for (; i < length; i++) if (view.getUint8(a + i) !== view.getUint8(b + i)) return false;
    return true;
  }
}
