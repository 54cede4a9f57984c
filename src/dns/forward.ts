/** What is not ours: asked upstream, at most so much at a time, each question once however many want to know it. */
import { dnsFlag, dnsType, HEADER, OPT_SIZE, put16, type Question, rcode } from '../wire/dns.ts';
import { Cache } from './cache.ts';
import { type Asked, askedOf, Lookup } from './lookup.ts';
import type { Loop } from './loop.ts';
import type { UpstreamSet } from './upstreams.ts';

/** Questions in flight, each with up to three sockets. */
const MAX_LOOKUPS = 1024;
/** Queries that wait for them: of one client, and of all. */
const MAX_WAITING_EACH = 256;
const MAX_WAITING = 8192;

/** Who asks: counts what he waits for. */
export interface Asker {
  waiting: number;
}

export interface Waiter {
  readonly asker: Asker;
  readonly id: number;
  /** As this one wrote it: answers repeat it letter by letter. */
  readonly question: Uint8Array;
  readonly edns: { readonly flags: number } | null;
  /** Most bytes of the answer. */
  readonly room: number;
  /** @param answer whole; the bytes are the hearer's */
  readonly reply: (answer: Uint8Array) => void;
}

interface Running {
  readonly lookup: Lookup;
  readonly waiters: Waiter[];
}

export class Forwarder {
  readonly #loop: Loop;
  readonly #ednsSize: number;
  readonly #running = new Map<string, Running>();
  readonly #cache = new Cache();
  #waiting = 0;
  /** Queries that came here, and those that were turned away because too many wait. */
  forwarded = 0;
  refused = 0;

  constructor(loop: Loop, ednsSize: number) {
    this.#loop = loop;
    this.#ednsSize = ednsSize;
  }

  /**
   * @param question as read from `message`
   * @param message copied
   * @param waiter answered soon or at once
   */
  ask(
    set: UpstreamSet,
    { question, message }: { readonly question: Question; readonly message: Uint8Array },
    waiter: Waiter,
  ): void {
    this.forwarded++;
    const asked = askedOf(set, question, message);
    const known = this.#cache.get(asked.key, this.#loop.now);
    if (known !== null) return this.#answer(waiter, known, asked);
    const running = this.#running.get(asked.key);
    const { asker } = waiter;
    const full = running === undefined && this.#running.size >= MAX_LOOKUPS;
    if (full || asker.waiting >= MAX_WAITING_EACH || this.#waiting >= MAX_WAITING) {
      this.refused++;
      return this.#answer(waiter, null, asked);
    }
    asker.waiting++;
    this.#waiting++;
    if (running !== undefined) {
      running.waiters.push(waiter);
      return;
    }
    const waiters = [waiter];
    const lookup = new Lookup({ loop: this.#loop, set, asked, done: (answer) => this.#done(asked, waiters, answer) });
    this.#running.set(asked.key, { lookup, waiters });
    lookup.start();
  }

  /** Lets go of every question. */
  close(): void {
    for (const { lookup } of this.#running.values()) lookup.cancel();
    this.#running.clear();
  }

  #done(asked: Asked, waiters: readonly Waiter[], answer: Uint8Array | null): void {
    this.#running.delete(asked.key);
    // Cut answers are for who asked: the next one may have better luck.
    if (answer !== null && ((answer[2] ?? 0) & (dnsFlag.TC >>> 8)) === 0) {
      this.#cache.put(asked.key, answer, { questionEnd: HEADER + asked.question.length, now: this.#loop.now });
    }
    for (const waiter of waiters) {
      waiter.asker.waiting--;
      this.#waiting--;
      this.#answer(waiter, answer === null ? null : new Uint8Array(answer), asked);
    }
  }

  /** @param answer its id and question are written over; null: nobody knows */
  #answer(waiter: Waiter, answer: Uint8Array | null, { flags }: Asked): void {
    const { id, question, room, reply } = waiter;
    let whole = answer;
    if (whole === null) {
      whole = this.#empty(waiter, dnsFlag.QR | dnsFlag.RA | (flags & (dnsFlag.RD | dnsFlag.CD)) | rcode.SERVFAIL);
    } else if (whole.length > room) {
      whole = this.#empty(waiter, ((whole[2] ?? 0) << 8) | (whole[3] ?? 0) | dnsFlag.TC);
    }
    put16(whole, 0, id);
    whole.set(question, HEADER);
    reply(whole);
  }

  /** Header, question, and OPT for who has it: no records. */
  #empty({ question, edns }: Waiter, flags: number): Uint8Array {
    const end = HEADER + question.length;
    const bytes = new Uint8Array(end + (edns === null ? 0 : OPT_SIZE));
    put16(bytes, 2, flags);
    put16(bytes, 4, 1);
    if (edns === null) return bytes;
    put16(bytes, 10, 1);
    put16(bytes, end + 1, dnsType.OPT);
    put16(bytes, end + 3, this.#ednsSize);
    put16(bytes, end + 7, edns.flags);
    return bytes;
  }
}
