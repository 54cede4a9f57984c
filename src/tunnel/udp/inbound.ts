/**
 * From the peers to the TUN device. Datagrams come glued together by the kernel (UDP_GRO); what is in each is checked, and handed over in
 * packets as large as possible.
 */
import { socketH } from '../../sys/constants.ts';
import type { Fd } from '../../sys/fd.ts';
import { libc } from '../../sys/libc.ts';
import { CONTROL, IOVEC, MMSGHDR, MSG, SOCKADDR } from './arena.ts';
import { Glue, GLUE_BYTES } from './glue.ts';
import { IP4, IP6, versionOf } from './inner.ts';
import type { FastPath } from './fastpath/fastpath.ts';
import type { PeerTable } from './peers.ts';
import type { RunDeps } from './run.ts';

/**
 * Datagrams a receive. Where none comes glued, because nothing on their way has put them together, as many as three large packets are made of (46 of 1,420 bytes of
 * payload are 64 KB): what remains at the end is a small packet, which costs as much as a large one. Of glued ones so many that they are still in the cache when
 * they are handed over.
 */
const MESSAGES = 138;
const GLUED = 32;
const MESSAGE = 65_536;
/** Between the beginnings of two of them: at multiples of 64 KB small datagrams would all compete for the same few places of the cache. */
const STRIDE = MESSAGE + 2_048;
/** bytes */
const PLAIN = 9_216;

export const INBOUND_BYTES = MESSAGES * (STRIDE + MMSGHDR + IOVEC + SOCKADDR + CONTROL) + 5 * 64 + GLUE_BYTES;

export interface InboundDeps extends RunDeps {
  readonly udp: Fd;
  readonly v6: boolean;
  readonly fastPath: FastPath;
}

export class Inbound {
  readonly #deps: InboundDeps;
  readonly #messages: number;
  readonly #names: number;
  readonly #controls: number;
  readonly #buffers: number;
  readonly #glue: Glue;
  #table: PeerTable;
  #want = GLUED;

  constructor(deps: InboundDeps, table: PeerTable) {
    const { arena } = deps;
    this.#deps = deps;
    this.#table = table;
    this.#messages = arena.take(MESSAGES * MMSGHDR);
    const iovecs = arena.take(MESSAGES * IOVEC);
    this.#names = arena.take(MESSAGES * SOCKADDR);
    this.#controls = arena.take(MESSAGES * CONTROL);
    this.#glue = new Glue(deps);
    this.#buffers = arena.take(MESSAGES * STRIDE);
    for (let i = 0; i < MESSAGES; i++) {
      const header = (this.#messages + i * MMSGHDR) >>> 2;
      arena.pointer(header * 4, this.#names + i * SOCKADDR);
      arena.iovec(iovecs + i * IOVEC, this.#buffers + i * STRIDE, MESSAGE);
      arena.pointer((header + MSG.iov) * 4, iovecs + i * IOVEC);
      arena.words[header + MSG.iovLength] = 1;
      arena.pointer((header + MSG.control) * 4, this.#controls + i * CONTROL);
    }
  }

  setTable(table: PeerTable): void {
    this.#table = table;
  }

  /** Takes what has arrived, up to a batch. @param now milliseconds of the process's clock, about @returns messages */
  drain(now: number): number {
    const { arena, udp } = this.#deps;
    const { words } = arena;
    for (let i = 0; i < this.#want; i++) {
      const header = (this.#messages + i * MMSGHDR) >>> 2;
      words[header + MSG.nameLength] = SOCKADDR;
      words[header + MSG.controlLength] = CONTROL;
    }
    const count = libc.recvmmsg(udp.number, arena.base + this.#messages, this.#want, socketH.MSG_DONTWAIT, 0);
    // An error of the socket, such as a port that nobody listens on, is forgotten by being told.
    if (count <= 0) return 0;
    for (let i = 0; i < count; i++) this.#message(i, now);
    this.#glue.flush();
    const last = words[((this.#messages + (count - 1) * MMSGHDR) >>> 2) + MSG.length] ?? 0;
    this.#want = last <= PLAIN ? MESSAGES : GLUED;
    return count;
  }

  #message(i: number, now: number): void {
    const { arena, counters, v6, fastPath } = this.#deps;
    const { view, words } = arena;
    const header = (this.#messages + i * MMSGHDR) >>> 2;
    const length = words[header + MSG.length] ?? 0;
    const control = this.#controls + i * CONTROL;
    // The only control message that is asked for is the one of UDP_GRO.
    const step = (words[header + MSG.controlLength] ?? 0) >= 20 ? (words[(control >>> 2) + 4] ?? length) : length;
    const peer = this.#table.outer(view, this.#names + i * SOCKADDR + (v6 ? 8 : 4), v6);
    const begin = this.#buffers + i * STRIDE;
    if (peer < 0 || step <= 0) {
      counters.drop(peer < 0 ? 'peer' : 'length', Math.max(1, Math.ceil(length / Math.max(1, step))));
      return;
    }
    if (now > (fastPath.due[peer] ?? Infinity)) fastPath.heard(peer, now);
    const own = this.#table.peers[peer]?.own === true;
    let packets = 0;
    let bytes = 0;
    for (let at = 0; at < length; at += step) {
      const size = Math.min(step, length - at);
      if (this.#glue.addAlike(begin + at, size, peer) || this.#packet(begin + at, size, { peer, own })) {
        packets++;
        bytes += size;
      }
    }
    counters.received(peer, packets, bytes);
  }

  /** @returns false when it was dropped */
  #packet(at: number, size: number, { peer, own }: { readonly peer: number; readonly own: boolean }): boolean {
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
    this.#glue.add(at, size, { version, peer, own });
    return true;
  }
}
