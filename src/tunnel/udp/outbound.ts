/**
 * From the TUN device to the peers. What the kernel hands over as one large packet is cut here into packets of the tunnel's MTU by writing headers
 * only; the payload goes out from where it was read.
 */
import type { Fd } from '../../sys/fd.ts';
import { lastErrno, libc } from '../../sys/libc.ts';
import { constants } from 'node:os';
import { type Arena } from './arena.ts';
import { fold, fold16, sum16 } from './checksum.ts';
import type { Counters } from './counters.ts';
import { GSO, IP4, IP6, PROTOCOL, pseudoSum, TCP, TCP_FLAG, UDP, VNET, VNET_FLAG, versionOf } from './inner.ts';
import type { PeerTable } from './peers.ts';
import { SendQueue, sendQueueBytes } from './send-queue.ts';

/** <asm-generic/errno.h>: what tun(4) answers once its device is gone, and poll(2) never waits again. */
const EBADFD = 77;
/** What is read before it is sent. While there is more, reading on costs less than waking the other end for each part of it. */
const BUFFER = 4 << 20;
/** Longest that one read brings, with its virtio header, and padding. */
const READ = 65_535 + VNET.size + 64;
const READS = 128;
/** Longest headers: IPv4 or IPv6 with extensions, TCP with options. */
const HEADER = 192;
const HEADERS = 4096;

export const outboundBytes = (peers: number): number => BUFFER + HEADERS * HEADER + sendQueueBytes(peers) + 2 * 64;

export interface OutboundDeps {
  readonly arena: Arena;
  readonly tun: Fd;
  readonly udp: Fd;
  readonly counters: Counters;
  /** Most peers. */
  readonly capacity: number;
}

export class Outbound {
  readonly #deps: OutboundDeps;
  readonly #queue: SendQueue;
  readonly #buffer: number;
  readonly #headers: number;
  #headerCount = 0;
  #table: PeerTable;

  constructor(deps: OutboundDeps, table: PeerTable) {
    this.#deps = deps;
    this.#buffer = deps.arena.take(BUFFER);
    this.#headers = deps.arena.take(HEADERS * HEADER);
    this.#queue = new SendQueue(deps.arena, deps.capacity);
    this.#table = table;
    this.#queue.setPeers(table.peers);
  }

  setTable(table: PeerTable): void {
    this.#table = table;
    this.#queue.setPeers(table.peers);
  }

  /** Sends what waits in the device, up to a batch. @returns packets read; 0: nothing was there */
  drain(): number {
    const { arena, tun, udp, counters } = this.#deps;
    let at = this.#buffer;
    let reads = 0;
    const end = this.#buffer + BUFFER;
    while (reads < READS && at + READ <= end) {
      // The IP header lies on a multiple of 16.
      const start = at + 6;
      const length = libc.readAt(tun.number, arena.base + start, READ - 6);
      if (length <= 0) {
        if (length < 0 && lastErrno() === constants.errno.EINTR) continue;
        if (length < 0 && lastErrno() === EBADFD) throw new Error('its device was removed');
        break;
      }
      reads++;
      const size = length - VNET.size;
      if (!this.#packet(start, size)) {
        // No room left in the queue: it is sent first.
        counters.drop('send', this.#flush(udp));
        this.#packet(start, size);
      }
      at = (start + length + 63) & ~63;
    }
    if (reads > 0) counters.drop('send', this.#flush(udp));
    return reads;
  }

  #flush(udp: Fd): number {
    this.#headerCount = 0;
    return this.#queue.flush(udp);
  }

  /** @returns false when the queue has no room for it */
  #packet(vnet: number, size: number): boolean {
    const { arena, counters } = this.#deps;
    const { view } = arena;
    const at = vnet + VNET.size;
    const version = versionOf(view, at, size);
    if (typeof version === 'string') {
      counters.drop(version, 1);
      return true;
    }
    const peer = version === 4 ? this.#table.inner4(view, at + IP4.destination) : this.#table.inner6(view, at + IP6.destination);
    if (peer < 0) {
      counters.drop('route', 1);
      return true;
    }
    const own = this.#table.peers[peer]?.own === true;
    const type = view.getUint8(vnet + VNET.gsoType) & ~GSO.ecn;
    if (type === GSO.none) {
      if (!this.#queue.fits(1)) return false;
      if (view.getUint8(vnet + VNET.flags) & VNET_FLAG.needsChecksum) complete(view, { vnet, at, size, version, own });
      this.#queue.whole(peer, at, size);
      counters.sent(peer, 1, size);
      return true;
    }
    return this.#segments({ vnet, at, size, version, peer, own, udp: type === GSO.udp });
  }

  #segments({ vnet, at, size, version, peer, own, udp }: Super): boolean {
    const { arena, counters } = this.#deps;
    const { view, words } = arena;
    const transport = view.getUint16(vnet + VNET.checksumStart, true);
    const step = view.getUint16(vnet + VNET.gsoSize, true);
    const header = transport + (udp ? UDP.size : (view.getUint8(at + transport + TCP.offset) >> 4) * 4);
    const payload = size - header;
    if (step === 0 || payload <= 0 || header > HEADER - 16 || transport < IP4.size) {
      counters.drop('length', 1);
      return true;
    }
    const count = Math.ceil(payload / step);
    if (!this.#queue.fits(count) || this.#headerCount + count > HEADERS) {
      if (this.#headerCount > 0) return false;
      counters.drop('length', 1);
      return true;
    }
    const protocol = udp ? PROTOCOL.udp : PROTOCOL.tcp;
    const sequence = udp ? 0 : view.getUint32(at + transport + TCP.sequence);
    const id = version === 4 ? view.getUint16(at + IP4.id) : 0;
    const flags = udp ? 0 : view.getUint8(at + transport + TCP.flags);
    const unfinished = udp ? 0 : view.getUint16(at + transport + TCP.checksum);
    const constant = version === 4 ? constantSum(view, at) : 0;
    const headerWords = (header + 3) >>> 2;
    for (let i = 0; i < count; i++) {
      const from = i * step;
      const chunk = Math.min(step, payload - from);
      const head = this.#headers + this.#headerCount++ * HEADER;
      // Both lie on multiples of 16. For a few words a loop is quicker than a call.
      for (let word = 0; word < headerWords; word++) words[(head >>> 2) + word] = words[(at >>> 2) + word] ?? 0;
      if (version === 4) {
        const [length, number] = [header + chunk, (id + i) & 0xffff];
        view.setUint16(head + IP4.totalLength, length);
        view.setUint16(head + IP4.id, number);
        view.setUint16(head + IP4.checksum, ~fold16(constant + length + number) & 0xffff);
      } else view.setUint16(head + IP6.payloadLength, header - IP6.size + chunk);
      const top = head + transport;
      if (udp) view.setUint16(top + UDP.length, UDP.size + chunk);
      else {
        view.setUint32(top + TCP.sequence, (sequence + from) >>> 0);
        // CWR goes with the first, FIN and PSH with the last (net/ipv4/tcp_offload.c, tcp_gso_segment()).
        let own = flags;
        if (i > 0) own &= ~TCP_FLAG.cwr;
        if (i < count - 1) own &= ~(TCP_FLAG.fin | TCP_FLAG.psh);
        view.setUint8(top + TCP.flags, own);
      }
      // Still to be made, but said as of this segment: the sum of its own pseudo-header (`Glue`). What differs from the whole one's is the length.
      if (own && !udp) view.setUint16(top + TCP.checksum, fold16(unfinished + ((size - header - chunk) ^ 0xffff)));
      else if (!own) {
        const field = top + (udp ? UDP.checksum : TCP.checksum);
        const length = header - transport + chunk;
        view.setUint16(field, 0);
        const start = sum16(view, top, {
          length: header - transport,
          start: pseudoSum(view, head, { version, protocol, length }),
        });
        view.setUint16(field, finished(sum16(view, at + header + from, { length: chunk, start }), udp));
      }
      this.#queue.pieces(peer, { head, header, payload: at + header + from, length: chunk });
    }
    counters.sent(peer, count, size + (count - 1) * header);
    return true;
  }
}

interface Super {
  readonly vnet: number;
  readonly at: number;
  readonly size: number;
  readonly version: 4 | 6;
  readonly peer: number;
  readonly own: boolean;
  readonly udp: boolean;
}

/** Of an IPv4 header: the sum of what is the same in all segments, which is all but length, identification and the checksum itself. */
function constantSum(view: DataView, at: number): number {
  const all = sum16(view, at, { length: (view.getUint8(at) & 15) * 4, start: 0 });
  const without = (field: number): number => 0xffff - view.getUint16(at + field);
  return all + without(IP4.totalLength) + without(IP4.id) + without(IP4.checksum);
}

/** Makes the checksum that the sender left to the card: its field holds the sum of the pseudo-header. A peer of our kind does so itself. */
function complete(
  view: DataView,
  { vnet, at, size, own, version }: { vnet: number; at: number; size: number; version: 4 | 6; own: boolean },
): void {
  const start = view.getUint16(vnet + VNET.checksumStart, true);
  const offset = view.getUint16(vnet + VNET.checksumOffset, true);
  if (start + offset + 2 > size) return;
  const udp = offset === UDP.checksum;
  // What a peer completes: plain TCP and UDP (`Inbound`).
  if (own && (udp || offset === TCP.checksum) && start === (version === 4 ? (view.getUint8(at) & 15) * 4 : IP6.size)) return;
  view.setUint16(at + start + offset, finished(sum16(view, at + start, { length: size - start, start: 0 }), udp));
}

/** What the field says. UDP says 0xffff for 0, which would mean none (RFC 768). */
function finished(sum: number, udp: boolean): number {
  const value = ~fold(sum) & 0xffff;
  return value === 0 && udp ? 0xffff : value;
}
