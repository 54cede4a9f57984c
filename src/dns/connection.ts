/** A client's TCP connection: queries one after the other, each with its length before it (RFC 1035 section 4.2.2, RFC 7766). */
import { epollH } from '../sys/constants.ts';
import type { Fd } from '../sys/fd.ts';
import { receive, send } from '../sys/inet.ts';
import { joined } from '../wire/bytes.ts';
import { put16 } from '../wire/dns.ts';
import type { Loop, Source } from './loop.ts';
import { Timer } from './timers.ts';

/** Milliseconds without a whole query, and with nothing to answer. RFC 7766 section 6.2.3: a few seconds */
const IDLE = 10_000;
/** Bytes. A query has a name of 255 and perhaps an OPT; who sends more wants something else. */
const MAX_QUERY = 4096;
/** Bytes that wait for a client that does not read; then we do not read either. */
const MAX_OUTPUT = 65536;

export interface ConnectionOptions {
  readonly loop: Loop;
  readonly fd: Fd;
  /** A whole query; answers come by `reply`, in any order. @returns whether one will come */
  readonly query: (connection: Connection, message: Uint8Array) => boolean;
  readonly closed: (connection: Connection) => void;
}

const scratch = new Uint8Array(16384);

export class Connection implements Source {
  readonly #options: ConnectionOptions;
  readonly #timer = new Timer(() => this.close());
  #input: Uint8Array = new Uint8Array(0);
  #output: Uint8Array[] = [];
  #outputBytes = 0;
  #awaited = 0;
  #taking = false;
  /** The client has said that no more comes. */
  #ended = false;
  #events: number = epollH.EPOLLIN;

  /** @throws when it cannot be watched; the descriptor is closed then */
  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { loop, fd } = options;
    try {
      loop.watch(fd, this, this.#events);
    } catch (error) {
      fd.close();
      throw error;
    }
    loop.timers.start(this.#timer, IDLE);
  }

  get open(): boolean {
    return this.#options.fd.number >= 0;
  }

  broke(): void {
    this.close();
  }

  close(): void {
    if (!this.open) return;
    const { loop, fd, closed } = this.#options;
    loop.timers.stop(this.#timer);
    loop.close(fd);
    closed(this);
  }

  ready(events: number): void {
    if (events & epollH.EPOLLERR) return this.close();
    if (events & epollH.EPOLLOUT) this.#flush();
    if (events & (epollH.EPOLLIN | epollH.EPOLLHUP)) this.#receive();
    this.#take();
    this.#settle();
  }

  /** @param message copied; nothing happens when the connection is gone */
  reply(message: Uint8Array): void {
    if (!this.open) return;
    this.#awaited--;
    const framed = new Uint8Array(2 + message.length);
    put16(framed, 0, message.length);
    framed.set(message, 2);
    this.#output.push(framed);
    this.#outputBytes += framed.length;
    this.#flush();
    this.#take();
    this.#settle();
  }

  #receive(): void {
    if (this.#ended || this.#full) return;
    const length = receive(this.#options.fd, scratch);
    if (length === -1) return;
    if (length < 0) return this.close();
    if (length === 0) {
      this.#ended = true;
      return;
    }
    this.#input = joined(this.#input, scratch.subarray(0, length));
  }

  /** Every whole query that has come, as long as its answer finds room. */
  #take(): void {
    // An answer that is there at once comes back here.
    if (this.#taking) return;
    this.#taking = true;
    const bytes = this.#input;
    let at = 0;
    while (this.open && !this.#full && bytes.length - at >= 2) {
      const size = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
      if (size > MAX_QUERY) this.close();
      if (size > MAX_QUERY || bytes.length - at < 2 + size) break;
      this.#query(bytes.subarray(at + 2, at + 2 + size));
      at += 2 + size;
    }
    if (at > 0) this.#input = bytes.slice(at);
    this.#taking = false;
  }

  #query(message: Uint8Array): void {
    const { loop, query } = this.#options;
    loop.timers.start(this.#timer, IDLE);
    this.#awaited++;
    // What is no query ends the talk: with whom we no longer agree where messages begin.
    if (!query(this, message)) this.close();
  }

  get #full(): boolean {
    return this.#outputBytes >= MAX_OUTPUT;
  }

  #flush(): void {
    while (this.open) {
      const [first] = this.#output;
      if (first === undefined) return;
      const sent = send(this.#options.fd, first);
      if (sent === -1) return;
      if (sent < 0) return this.close();
      this.#outputBytes -= sent;
      if (sent < first.length) this.#output[0] = first.subarray(sent);
      else this.#output.shift();
    }
  }

  /** Listens for what can be done next, and closes when that is nothing. */
  #settle(): void {
    if (!this.open) return;
    if (this.#ended && this.#awaited <= 0 && this.#output.length === 0) return this.close();
    const events = (this.#ended || this.#full ? 0 : epollH.EPOLLIN) | (this.#output.length > 0 ? epollH.EPOLLOUT : 0);
    if (events === this.#events) return;
    this.#events = events;
    this.#options.loop.change(this.#options.fd, events);
  }
}
