/**
 * Datagrams in batches: recvmmsg(2) into one arena, and sendmmsg(2) of answers written over the questions where they lie. Nothing is
 * allocated or converted per datagram: headers, addresses and payloads have their places, and a batch is one call each way.
 */
import { constants } from 'node:os';
import { socketH } from './constants.ts';
import type { Fd } from './fd.ts';
import { addressOf, lastErrno, libc } from './libc.ts';

/** `struct mmsghdr`: msghdr (56 bytes), u32 length, padded. In words of 32 bits: name 0, namelen 2, iov 4, iovlen 6, flags 12, length 14. */
const HEADER = 64;
const NAMELEN = 2;
const IOV = 4;
const IOVLEN = 6;
const FLAGS = 12;
const LENGTH = 14;
/** `struct iovec`: pointer, size_t. */
const IOVEC = 16;
/** Room for a `struct sockaddr_in6` (28 bytes). */
const NAME = 32;
const NAME_ROOM = 28;

export class Datagrams {
  /** Every payload, each at `offset(i)`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Most bytes of a datagram, in and out. */
  readonly size: number;
  readonly #capacity: number;
  readonly #words: Uint32Array;
  readonly #names: number;
  readonly #payloads: number;
  readonly #receiveAt: number;
  readonly #sendAt: number;
  readonly #base: number;
  /** Byte offsets in the arena. */
  readonly #sendHeaders: number;
  readonly #sendIovs: number;
  #queued = 0;

  /** @param capacity datagrams a batch @param size bytes of the longest */
  constructor(capacity: number, size: number) {
    this.#capacity = capacity;
    this.size = size;
    this.#sendHeaders = capacity * HEADER;
    const receiveIovs = this.#sendHeaders * 2;
    this.#sendIovs = receiveIovs + capacity * IOVEC;
    this.#names = this.#sendIovs + capacity * IOVEC;
    this.#payloads = this.#names + capacity * NAME;
    this.bytes = new Uint8Array(new ArrayBuffer(this.#payloads + capacity * size));
    this.#words = new Uint32Array(this.bytes.buffer, 0, this.#payloads / 4);
    this.#base = addressOf(this.bytes);
    this.#receiveAt = this.#base;
    this.#sendAt = this.#base + this.#sendHeaders;
    for (let i = 0; i < capacity; i++) {
      const header = i * HEADER;
      this.#pointer(header, this.#names + i * NAME);
      this.#pointer(header + IOV * 4, receiveIovs + i * IOVEC);
      this.#words[header / 4 + IOVLEN] = 1;
      this.#pointer(receiveIovs + i * IOVEC, this.offset(i));
      this.#words[(receiveIovs + i * IOVEC) / 4 + 2] = size;
      this.#words[(this.#sendHeaders + header) / 4 + IOVLEN] = 1;
      this.#pointer(this.#sendIovs + i * IOVEC, this.offset(i));
    }
  }

  #pointer(at: number, target: number): void {
    const address = this.#base + target;
    this.#words[at / 4] = address >>> 0;
    this.#words[at / 4 + 1] = Math.floor(address / 2 ** 32);
  }

  /**
   * Takes what is there, up to a batch, without waiting.
   * @returns how many; 0 when there is nothing, or the socket holds an error
   */
  receive(fd: Fd): number {
    const words = this.#words;
    // What an error kept from being sent would now be somebody else's.
    this.#queued = 0;
    for (let i = 0; i < this.#capacity; i++) words[i * (HEADER / 4) + NAMELEN] = NAME_ROOM;
    const count = libc.recvmmsg(fd.number, this.#receiveAt, this.#capacity, socketH.MSG_DONTWAIT, 0);
    return count < 0 ? 0 : count;
  }

  offset(i: number): number {
    return this.#payloads + i * this.size;
  }

  /** Bytes of datagram `i`; -1: it was longer than `size`. */
  length(i: number): number {
    const header = i * (HEADER / 4);
    if ((this.#words[header + FLAGS] ?? 0) & socketH.MSG_TRUNC) return -1;
    return this.#words[header + LENGTH] ?? 0;
  }

  /** Who sent datagram `i`: a copy, for `sendDatagram`. */
  sender(i: number): Uint8Array {
    const start = this.#names + i * NAME;
    return this.bytes.slice(start, start + (this.#words[i * (HEADER / 4) + NAMELEN] ?? 0));
  }

  /** Queues what lies at `offset(i)` now, back to its sender. */
  answer(i: number, length: number): void {
    const words = this.#words;
    const from = i * (HEADER / 4);
    const to = (this.#sendHeaders + this.#queued * HEADER) / 4;
    const iov = this.#sendIovs + i * IOVEC;
    words[iov / 4 + 2] = length;
    words[to] = words[from] ?? 0;
    words[to + 1] = words[from + 1] ?? 0;
    words[to + NAMELEN] = words[from + NAMELEN] ?? 0;
    this.#pointer(to * 4 + IOV * 4, iov);
    this.#queued++;
  }

  /** Sends what is queued. @returns how many were lost: a datagram that cannot go out is left out, as the network would */
  flush(fd: Fd): number {
    let lost = 0;
    for (let done = 0; done < this.#queued; ) {
      const sent = libc.sendmmsg(fd.number, this.#sendAt + done * HEADER, this.#queued - done, socketH.MSG_DONTWAIT);
      if (sent > 0) {
        done += sent;
      } else if (lastErrno() !== constants.errno.EINTR) {
        lost++;
        done++;
      }
    }
    this.#queued = 0;
    return lost;
  }
}
