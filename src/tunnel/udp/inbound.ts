/**
 * From the peers to the TUN device. Datagrams come glued together by the kernel (UDP_GRO); packets of one flow that follow each other are
 * handed over as one large packet, gathered from where they lie. The transport checksum is left to the kernel (NEEDS_CSUM), which makes it only
 * for a packet that leaves the machine: the outer checksum has already vouched for the bytes.
 */
import { constants } from 'node:os';
import { socketH } from '../../sys/constants.ts';
import type { Fd } from '../../sys/fd.ts';
import { lastErrno, libc } from '../../sys/libc.ts';
import { type Arena, CONTROL, IOVEC, MMSGHDR, MSG, SOCKADDR } from './arena.ts';
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
  versionOf,
} from './inner.ts';
import type { PeerTable } from './peers.ts';

/** Datagrams, or glued ones, a receive. */
const MESSAGES = 16;
const MESSAGE = 65_536;
/** UIO_MAXIOV is 1024. */
const IOVECS = 1024;
/** Of an IPv4 packet; an IPv6 one could be 40 bytes longer. */
const LARGEST = 65_535;
/** UDP_MAX_SEGMENTS of kernels before 6.9. */
const UDP_SEGMENTS = 64;

export const INBOUND_BYTES = MESSAGES * (MESSAGE + MMSGHDR + IOVEC + SOCKADDR + CONTROL) + IOVECS * IOVEC + 7 * 64 + 64;

export interface InboundDeps {
  readonly arena: Arena;
  readonly tun: Fd;
  readonly udp: Fd;
  readonly v6: boolean;
  /** The device takes UDP segments. */
  readonly udpSegments: boolean;
  readonly counters: Counters;
}

export class Inbound {
  readonly #deps: InboundDeps;
  readonly #messages: number;
  readonly #names: number;
  readonly #controls: number;
  readonly #buffers: number;
  readonly #iovecs: number;
  readonly #vnet: number;
  #table: PeerTable;
  /** The packet that is being put together: iovecs in use, 0 = none. */
  #parts = 0;
  #at = 0;
  #version: 4 | 6 = 4;
  #protocol = 0;
  #transport = 0;
  /** bytes of all headers, and of the payload of each segment but the last */
  #header = 0;
  #step = 0;
  #payload = 0;
  #segments = 0;
  #sequence = 0;
  /** A shorter segment, or one that asked for a push, is the last. */
  #full = false;

  constructor(deps: InboundDeps, table: PeerTable) {
    const { arena } = deps;
    this.#deps = deps;
    this.#table = table;
    this.#messages = arena.take(MESSAGES * MMSGHDR);
    const iovecs = arena.take(MESSAGES * IOVEC);
    this.#names = arena.take(MESSAGES * SOCKADDR);
    this.#controls = arena.take(MESSAGES * CONTROL);
    this.#iovecs = arena.take(IOVECS * IOVEC);
    this.#vnet = arena.take(64);
    this.#buffers = arena.take(MESSAGES * MESSAGE);
    for (let i = 0; i < MESSAGES; i++) {
      const header = (this.#messages + i * MMSGHDR) >>> 2;
      arena.pointer(header * 4, this.#names + i * SOCKADDR);
      arena.iovec(iovecs + i * IOVEC, this.#buffers + i * MESSAGE, MESSAGE);
      arena.pointer((header + MSG.iov) * 4, iovecs + i * IOVEC);
      arena.words[header + MSG.iovLength] = 1;
      arena.pointer((header + MSG.control) * 4, this.#controls + i * CONTROL);
    }
  }

  setTable(table: PeerTable): void {
    this.#table = table;
  }

  /** Takes what has arrived, up to a batch. @returns messages */
  drain(): number {
    const { arena, udp } = this.#deps;
    const { words } = arena;
    for (let i = 0; i < MESSAGES; i++) {
      const header = (this.#messages + i * MMSGHDR) >>> 2;
      words[header + MSG.nameLength] = SOCKADDR;
      words[header + MSG.controlLength] = CONTROL;
    }
    const count = libc.recvmmsg(udp.number, arena.base + this.#messages, MESSAGES, socketH.MSG_DONTWAIT, 0);
    // An error of the socket, such as a port that nobody listens on, is forgotten by being told.
    if (count <= 0) return 0;
    for (let i = 0; i < count; i++) this.#message(i);
    this.#flush();
    return count;
  }

  #message(i: number): void {
    const { arena, counters, v6 } = this.#deps;
    const { view, words } = arena;
    const header = (this.#messages + i * MMSGHDR) >>> 2;
    const length = words[header + MSG.length] ?? 0;
    const control = this.#controls + i * CONTROL;
    // The only control message that is asked for is the one of UDP_GRO.
    const step = (words[header + MSG.controlLength] ?? 0) >= 20 ? (words[(control >>> 2) + 4] ?? length) : length;
    const peer = this.#table.outer(view, this.#names + i * SOCKADDR + (v6 ? 8 : 4), v6);
    const begin = this.#buffers + i * MESSAGE;
    if (peer < 0 || step <= 0) {
      counters.drop(peer < 0 ? 'peer' : 'length', Math.max(1, Math.ceil(length / Math.max(1, step))));
      return;
    }
    let packets = 0;
    let bytes = 0;
    for (let at = 0; at < length; at += step) {
      const size = Math.min(step, length - at);
      if (this.#packet(begin + at, size, peer)) {
        packets++;
        bytes += size;
      }
    }
    counters.received(peer, packets, bytes);
  }

  /** @returns false when it was dropped */
  #packet(at: number, size: number, peer: number): boolean {
    const { arena, counters } = this.#deps;
    const { view } = arena;
    const version = versionOf(view, at, size);
    if (typeof version === 'string') {
      counters.drop(version, 1);
      return false;
    }
    const owner = version === 4 ? this.#table.inner4(view, at + IP4.source) : this.#table.inner6(view, at + IP6.source);
    if (owner !== peer) {
      counters.drop('source', 1);
      counters.spoofed(peer);
      return false;
    }
    if (this.#parts > 0 && this.#follows(at, size, version)) {
      this.#append(at, size);
      return true;
    }
    this.#flush();
    this.#begin(at, size, version);
    return true;
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
    arena.iovec(this.#iovecs, this.#vnet, VNET.size);
    arena.iovec(this.#iovecs + IOVEC, at, size);
    this.#parts = 2;
    if (top === 0) return;
    this.#transport = top - at;
    if (protocol === PROTOCOL.tcp && room >= TCP.size) {
      const offset = (view.getUint8(top + TCP.offset) >> 4) * 4;
      if (offset < TCP.size || offset > room) return;
      this.#protocol = protocol;
      this.#header = this.#transport + offset;
      this.#payload = room - offset;
      this.#sequence = (view.getUint32(top + TCP.sequence) + this.#payload) >>> 0;
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
  #follows(at: number, size: number, version: 4 | 6): boolean {
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
      this.#same(top + TCP.size, oldTop + TCP.size, this.#header - this.#transport - TCP.size)
    );
  }

  #append(at: number, size: number): void {
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

  #flush(): void {
    if (this.#parts === 0) return;
    const { arena, tun, counters } = this.#deps;
    this.#describe();
    const written = libc.writev(tun.number, arena.base + this.#iovecs, this.#parts);
    // The device's queue is full, or it is down: as on a wire, what it cannot take is lost.
    if (written < 0 && lastErrno() !== constants.errno.EINTR) counters.drop('write', this.#segments);
    this.#parts = 0;
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

  #same(a: number, b: number, length: number): boolean {
    const { view } = this.#deps.arena;
    let i = 0;
    for (; i + 4 <= length; i += 4) if (view.getUint32(a + i) !== view.getUint32(b + i)) return false;
    for (; i < length; i++) if (view.getUint8(a + i) !== view.getUint8(b + i)) return false;
    return true;
  }
}
