/**
 * Datagrams on their way out, gathered from parts of an arena. Datagrams to one peer that are as long as the one before (the last may be
 * shorter) are one message with UDP_SEGMENT, which the kernel, or the card, cuts (<linux/udp.h>); all messages are one sendmmsg(2).
 */
import { constants } from 'node:os';
import { socketH } from '../../sys/constants.ts';
import type { Fd } from '../../sys/fd.ts';
import { encodeAddress } from '../../sys/inet.ts';
import { lastErrno, libc } from '../../sys/libc.ts';
import { udpH } from '../../sys/tun-queue.ts';
import { type Arena, CONTROL, IOVEC, MMSGHDR, MSG, SOCKADDR } from './arena.ts';
import type { Slots } from './peers.ts';

/** UDP_MAX_SEGMENTS of kernels before 6.9. */
const SEGMENTS = 64;
/** Payload of an IPv4 datagram: 65,535 less 20 and 8; IPv6 has room for 20 more. */
const DATAGRAM = 65_507;
const MESSAGES = 256;
/** Two for each segment: headers made by us, payload as it was read. */
const IOVECS = 8192;
/** cmsg_len of an u16. */
const CONTROL_LENGTH = 18;

/** Bytes of arena, for so many peers. */
export const sendQueueBytes = (peers: number): number =>
  MESSAGES * (MMSGHDR + CONTROL + 1) + IOVECS * IOVEC + peers * SOCKADDR + 5 * 64;

export class SendQueue {
  readonly #arena: Arena;
  readonly #messages: number;
  readonly #controls: number;
  readonly #iovecs: number;
  readonly #names: number;
  #nameLengths: readonly number[] = [];
  #count = 0;
  #iovecCount = 0;
  /** Of the message that is being filled. */
  #peer = -1;
  #size = 0;
  #segments = 0;
  #parts = 0;
  #total = 0;
  #closed = true;

  constructor(arena: Arena, capacity: number) {
    this.#arena = arena;
    this.#messages = arena.take(MESSAGES * MMSGHDR);
    this.#controls = arena.take(MESSAGES * CONTROL);
    this.#iovecs = arena.take(IOVECS * IOVEC);
    this.#names = arena.take(capacity * SOCKADDR);
    for (let i = 0; i < MESSAGES; i++) {
      const control = this.#controls + i * CONTROL;
      arena.words[control >>> 2] = CONTROL_LENGTH;
      arena.words[(control >>> 2) + 2] = udpH.SOL_UDP;
      arena.words[(control >>> 2) + 3] = udpH.UDP_SEGMENT;
    }
  }

  /** Where peers are. Only with an empty queue. */
  setPeers(peers: Slots): void {
    this.#nameLengths = peers.map((peer, i) => {
      if (peer === null) return 0;
      const name = encodeAddress(peer.endpoint);
      this.#arena.bytes.set(name, this.#names + i * SOCKADDR);
      return name.length;
    });
  }

  /** Room for a packet that is cut into so many datagrams. */
  fits(segments: number): boolean {
    return this.#iovecCount + 2 * segments <= IOVECS && this.#count + Math.ceil(segments / 32) + 1 <= MESSAGES;
  }

  /** A datagram that lies in one piece. */
  whole(peer: number, at: number, size: number): void {
    this.#datagram(peer, size);
    this.#arena.iovec(this.#iovecs + this.#iovecCount++ * IOVEC, at, size);
    this.#parts++;
  }

  /** A datagram in two pieces: a header of its own, and a part of what was read. */
  pieces(peer: number, { head, header, payload, length }: Pieces): void {
    this.#datagram(peer, header + length);
    const at = this.#iovecs + this.#iovecCount * IOVEC;
    this.#arena.iovec(at, head, header);
    this.#arena.iovec(at + IOVEC, payload, length);
    this.#iovecCount += 2;
    this.#parts += 2;
  }

  #datagram(peer: number, size: number): void {
    if (this.#closed || peer !== this.#peer || size > this.#size || this.#segments === SEGMENTS || this.#total + size > DATAGRAM)
      this.#open(peer, size);
    this.#segments++;
    this.#total += size;
    // A shorter one can only be the last.
    if (size < this.#size) this.#closed = true;
  }

  #open(peer: number, size: number): void {
    this.#seal();
    const at = this.#messages + this.#count * MMSGHDR;
    this.#arena.pointer(at, this.#names + peer * SOCKADDR);
    this.#arena.words[(at >>> 2) + MSG.nameLength] = this.#nameLengths[peer] ?? 0;
    this.#arena.pointer(at + MSG.iov * 4, this.#iovecs + this.#iovecCount * IOVEC);
    this.#count++;
    this.#peer = peer;
    this.#size = size;
    this.#segments = 0;
    this.#parts = 0;
    this.#total = 0;
    this.#closed = false;
  }

  /** The message that was being filled is complete. */
  #seal(): void {
    if (this.#count === 0) return;
    const { words, view } = this.#arena;
    const header = (this.#messages + (this.#count - 1) * MMSGHDR) >>> 2;
    words[header + MSG.iovLength] = this.#parts;
    words[header + MSG.controlLength] = 0;
    if (this.#segments < 2) return;
    const control = this.#controls + (this.#count - 1) * CONTROL;
    view.setUint16(control + 16, this.#size, true);
    this.#arena.pointer((header + MSG.control) * 4, control);
    words[header + MSG.controlLength] = CONTROL;
  }

  /**
   * Sends everything; waits when the socket's buffer is full, which is what slows senders down.
   * @returns messages that could not be sent
   */
  flush(socket: Fd): number {
    this.#seal();
    let lost = 0;
    for (let done = 0; done < this.#count; ) {
      const at = this.#messages + done * MMSGHDR;
      const sent = libc.sendmmsg(socket.number, this.#arena.base + at, this.#count - done, socketH.MSG_NOSIGNAL);
      if (sent > 0) {
        done += sent;
        continue;
      }
      const errno = lastErrno();
      if (errno === constants.errno.EINTR) continue;
      if (!this.#sendApart(socket, at, errno)) lost++;
      done++;
    }
    this.#count = 0;
    this.#iovecCount = 0;
    this.#closed = true;
    return lost;
  }

  /**
   * Segments that are longer than the path's MTU are refused as a whole (udp_send_skb(), net/ipv4/udp.c); one by one they go out in
   * fragments.
   * @returns false when it is lost
   */
  #sendApart(socket: Fd, at: number, errno: number): boolean {
    const { words, view } = this.#arena;
    const header = at >>> 2;
    if (words[header + MSG.controlLength] === 0 || (errno !== constants.errno.EINVAL && errno !== constants.errno.EMSGSIZE))
      return false;
    const size = view.getUint16(this.#controls + ((at - this.#messages) / MMSGHDR) * CONTROL + 16, true);
    const first = words[header + MSG.iov] ?? 0;
    const count = words[header + MSG.iovLength] ?? 0;
    const begin = this.#offsetOf(first);
    words[header + MSG.controlLength] = 0;
    let fine = true;
    for (let i = 0; i < count; ) {
      this.#arena.pointer((header + MSG.iov) * 4, begin + i * IOVEC);
      let length = 0;
      let parts = 0;
      while (i + parts < count && length < size) length += words[((begin + (i + parts++) * IOVEC) >>> 2) + 2] ?? 0;
      words[header + MSG.iovLength] = parts;
      if (libc.sendmmsg(socket.number, this.#arena.base + at, 1, socketH.MSG_NOSIGNAL) < 1) fine = false;
      i += parts;
    }
    return fine;
  }

  /** @param low low word of an address in the arena */
  #offsetOf(low: number): number {
    const base = this.#arena.base % 2 ** 32;
    return low >= base ? low - base : low + 2 ** 32 - base;
  }
}

/** Offsets and lengths in bytes. */
export interface Pieces {
  readonly head: number;
  readonly header: number;
  readonly payload: number;
  readonly length: number;
}
