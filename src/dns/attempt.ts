/** One server that is asked one question: by UDP, and by TCP when the answer did not fit. */
import { epollH } from '../sys/constants.ts';
import type { Fd } from '../sys/fd.ts';
import { receive, send, socketError, type Transport } from '../sys/inet.ts';
import { joined } from '../wire/bytes.ts';
import { dnsFlag, HEADER, LOWER, put16, Question, rcode, records } from '../wire/dns.ts';
import type { Loop, Source } from './loop.ts';

/** How it ended. `failed`: this server does not know; `alive`: but it is there. `cut`: only what fitted a datagram. */
export type Outcome =
  | { readonly answer: Uint8Array }
  | { readonly failed: true; readonly alive: boolean }
  | { readonly cut: Uint8Array };

export interface AttemptOptions {
  readonly loop: Loop;
  readonly connect: (transport: Transport) => Fd;
  /** With an id of its own. */
  readonly message: Uint8Array;
  /** The same without EDNS, for a server that has never heard of it; null: it has none. */
  readonly plain: Uint8Array | null;
  readonly ended: (outcome: Outcome) => void;
}

/** Answers that do not belong to the question: so many, and somebody is guessing. The server is not heard any more. */
const MAX_LIES = 16;
/** Answers taken from a socket before others have their turn. */
const BURST = 8;

/** Used by one attempt at a time, between receiving and deciding. */
const scratch = new Uint8Array(65536);
const theirs = new Question();

export class Attempt implements Source {
  readonly #options: AttemptOptions;
  #message: Uint8Array;
  #fd: Fd | null = null;
  #transport: Transport = 'udp';
  #lies = 0;
  #cut: Uint8Array | null = null;
  /** Of a TCP answer, its length first. */
  #input: Uint8Array = new Uint8Array(0);
  #sent = false;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.#message = options.message;
  }

  /** Whether an answer may still come. */
  get open(): boolean {
    return this.#fd !== null;
  }

  /** @throws when the server cannot be sent to */
  start(): void {
    this.#open('udp');
    if (this.#fd !== null) send(this.#fd, this.#message);
  }

  /** The same datagram again. */
  repeat(): void {
    if (this.#fd !== null && this.#transport === 'udp') send(this.#fd, this.#message);
  }

  close(): void {
    if (this.#fd !== null) this.#options.loop.close(this.#fd);
    this.#fd = null;
  }

  #open(transport: Transport): void {
    this.close();
    this.#transport = transport;
    const fd = this.#options.connect(transport);
    try {
      this.#options.loop.watch(fd, this, transport === 'udp' ? epollH.EPOLLIN : epollH.EPOLLOUT);
    } catch (error) {
      fd.close();
      throw error;
    }
    this.#fd = fd;
  }

  broke(): void {
    this.#fail(true);
  }

  ready(): void {
    if (this.#transport === 'udp') this.#datagrams();
    else this.#stream();
  }

  #datagrams(): void {
    const fd = this.#fd;
    for (let i = 0; i < BURST && fd !== null && this.#fd === fd; i++) {
      const length = receive(fd, scratch);
      if (length === -1) return;
      // ICMP: nobody listens there, or there is no way.
      if (length < 0) return this.#fail(false);
      this.#judge(scratch.subarray(0, length));
    }
  }

  /** @param bytes of the scratch buffer */
  #judge(bytes: Uint8Array): void {
    const code = (bytes[3] ?? 0) & 15;
    if (!this.#belongs(bytes, code)) {
      if (++this.#lies >= MAX_LIES) this.#fail(true);
      return;
    }
    const { plain } = this.#options;
    if ((code === rcode.FORMERR || code === rcode.NOTIMP) && plain !== null && this.#message !== plain) return this.#again(plain);
    if (isFailure(code)) return this.#fail(true);
    const flags = bytes[2] ?? 0;
    if (flags & (dnsFlag.TC >>> 8)) {
      if (this.#transport === 'tcp') return this.#fail(true);
      this.#cut = bytes.slice();
      return this.#byTcp();
    }
    // Records that do not fit their message would only harm the client.
    if (records(bytes, theirs.end) === null) return this.#fail(true);
    this.#end({ answer: bytes.slice() });
  }

  /** Whether it is an answer to our question; its sender was checked by the kernel. RFC 5452 section 9.1 */
  #belongs(bytes: Uint8Array, code: number): boolean {
    if (bytes.length < HEADER || bytes[0] !== this.#message[0] || bytes[1] !== this.#message[1]) return false;
    if (((bytes[2] ?? 0) & 0xf8) !== dnsFlag.QR >>> 8) return false;
    const questions = ((bytes[4] ?? 0) << 8) | (bytes[5] ?? 0);
    // A server that did not understand need not repeat the question.
    if (questions === 0) return isFailure(code);
    if (questions !== 1 || !theirs.readQuestion(bytes, 0, bytes.length)) return false;
    return isSameQuestion(bytes, theirs.end, this.#message);
  }

  #again(message: Uint8Array): void {
    this.#message = message;
    this.#try('udp');
    if (this.#fd !== null) send(this.#fd, message);
  }

  #byTcp(): void {
    this.#input = new Uint8Array(0);
    this.#sent = false;
    this.#try('tcp');
  }

  #try(transport: Transport): void {
    try {
      this.#open(transport);
    } catch {
      this.#fail(true);
    }
  }

  #stream(): void {
    const fd = this.#fd;
    if (fd === null) return;
    if (!this.#sent) {
      if (socketError(fd) !== 0) return this.#fail(true);
      const framed = new Uint8Array(2 + this.#message.length);
      put16(framed, 0, this.#message.length);
      framed.set(this.#message, 2);
      // A new connection has room for that.
      if (send(fd, framed) !== framed.length) return this.#fail(true);
      this.#sent = true;
      this.#options.loop.change(fd, epollH.EPOLLIN);
      return;
    }
    const length = receive(fd, scratch);
    if (length === -1) return;
    if (length <= 0) return this.#fail(true);
    this.#input = joined(this.#input, scratch.subarray(0, length));
    if (this.#input.length < 2) return;
    const whole = 2 + (((this.#input[0] ?? 0) << 8) | (this.#input[1] ?? 0));
    if (this.#input.length < whole) return;
    const message = this.#input.slice(2, whole);
    // One lie is enough here: nobody else can speak on this connection.
    this.#lies = MAX_LIES;
    this.#judge(message);
  }

  #fail(alive: boolean): void {
    this.#end({ failed: true, alive });
  }

  #end(outcome: Outcome): void {
    this.close();
    this.#options.ended('failed' in outcome && this.#cut !== null ? { cut: this.#cut } : outcome);
  }
}

/** @param end of the question in `bytes` */
function isSameQuestion(bytes: Uint8Array, end: number, asked: Uint8Array): boolean {
  const fixed = end - 4;
  for (let i = HEADER; i < fixed; i++) if (LOWER[bytes[i] ?? 0] !== LOWER[asked[i] ?? 0]) return false;
  for (let i = fixed; i < end; i++) if (bytes[i] !== asked[i]) return false;
  return true;
}

/** Whether another server may know better: as Docker, and what says only that the server cannot. */
const isFailure = (code: number): boolean =>
  code === rcode.SERVFAIL || code === rcode.REFUSED || code === rcode.FORMERR || code === rcode.NOTIMP;
