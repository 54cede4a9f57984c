/** One question that is being asked upstream, for everybody who wants to know just that. */
import { randomFillSync } from 'node:crypto';
import { dnsFlag, dnsType, HEADER, OPT_SIZE, put16, type Question } from '../wire/dns.ts';
import { Attempt, type Outcome } from './attempt.ts';
import type { Loop } from './loop.ts';
import { Timer } from './timers.ts';
import type { Server, UpstreamSet } from './upstreams.ts';

/**
 * Milliseconds. The next server is asked when the one before has not answered for so long: long enough that a server which works is nearly always
 * the only one asked (and a resolv.conf whose order matters means what it says), short enough that nobody notices one that is dead.
 */
const STAGGER = 50;
/** Who has not answered is asked again after so long, for lost packets. */
const REPEATS = [1000, 2500] as const;
/** In all. The C library gives up on us after 5 seconds (RES_TIMEOUT, <resolv.h>), and then asks the same again. */
const DEADLINE = 4000;
/** RFC 6891 section 6.2.5, and what fits any path: DNS flag day 2020. */
const EDNS_SIZE = 1232;

/** What is asked; equal questions share a lookup. */
export interface Asked {
  readonly key: string;
  /** RD, AD and CD of the client's. */
  readonly flags: number;
  /** Name, type and class as asked. */
  readonly question: Uint8Array;
  /** null: the client does not speak EDNS. */
  readonly ednsFlags: number | null;
}

export interface LookupOptions {
  readonly loop: Loop;
  readonly set: UpstreamSet;
  readonly asked: Asked;
  /** Called once. null: nobody knows. The bytes are the hearer's. */
  readonly done: (answer: Uint8Array | null) => void;
}

const randomBytes = new Uint16Array(512);
let randomLeft = 0;
function randomId(): number {
  if (randomLeft === 0) {
    randomFillSync(randomBytes);
    randomLeft = randomBytes.length;
  }
  return randomBytes[--randomLeft] ?? 0;
}

export class Lookup {
  readonly asked: Asked;
  readonly #loop: Loop;
  readonly #set: UpstreamSet;
  readonly #order: readonly Server[];
  readonly #attempts: Attempt[] = [];
  readonly #done: (answer: Uint8Array | null) => void;
  readonly #started: number;
  readonly #timer = new Timer(() => this.#step());
  #next = 0;
  #repeat = 0;
  #over = false;
  /** An answer that was cut, from a server that has no TCP: better than none. */
  #cut: Uint8Array | null = null;

  constructor({ loop, set, asked, done }: LookupOptions) {
    this.#loop = loop;
    this.#set = set;
    this.asked = asked;
    this.#done = done;
    this.#order = set.order(loop.now);
    this.#started = loop.now;
  }

  start(): void {
    this.#step();
  }

  /** Lets go of everything; nobody is told. */
  cancel(): void {
    this.#over = true;
    this.#loop.timers.stop(this.#timer);
    for (const attempt of this.#attempts) attempt.close();
  }

  #step(): void {
    const { now, timers } = this.#loop;
    const elapsed = now - this.#started;
    if (elapsed >= DEADLINE) {
      for (const { server } of this.#attempts) server.missed(now);
      return this.#finish(this.#cut);
    }
    if (this.#next < this.#order.length) {
      this.#ask();
      if (!this.#over) timers.start(this.#timer, this.#next < this.#order.length ? STAGGER : this.#untilRepeat(elapsed));
      return;
    }
    for (const attempt of this.#attempts) attempt.repeat();
    this.#repeat++;
    timers.start(this.#timer, this.#untilRepeat(elapsed));
  }

  #untilRepeat(elapsed: number): number {
    return (REPEATS[this.#repeat] ?? DEADLINE) - elapsed;
  }

  /** Asks the next server; one that cannot even be sent to is passed over. */
  #ask(): void {
    while (!this.#over) {
      const server = this.#order[this.#next];
      if (server === undefined) return this.#maybeFail();
      this.#next++;
      try {
        const attempt = new Attempt({
          loop: this.#loop,
          server,
          connect: (transport) => this.#set.connect(transport, server),
          message: this.#message(true),
          plain: this.asked.ednsFlags === null ? null : this.#message(false),
          ended: (outcome) => this.#ended(server, outcome),
        });
        this.#attempts.push(attempt);
        attempt.start();
        return;
      } catch {
        // No way there, no descriptor left, a namespace that is gone: the next server may do.
        server.missed(this.#loop.now);
      }
    }
  }

  /** @param edns with OPT, if the client has it */
  #message(edns: boolean): Uint8Array {
    const { flags, question, ednsFlags } = this.asked;
    const opt = edns && ednsFlags !== null;
    const bytes = new Uint8Array(HEADER + question.length + (opt ? OPT_SIZE : 0));
    put16(bytes, 0, randomId());
    put16(bytes, 2, flags);
    put16(bytes, 4, 1);
    put16(bytes, 10, opt ? 1 : 0);
    bytes.set(question, HEADER);
    if (opt) {
      const at = HEADER + question.length;
      put16(bytes, at + 1, dnsType.OPT);
      put16(bytes, at + 3, EDNS_SIZE);
      put16(bytes, at + 7, ednsFlags);
    }
    return bytes;
  }

  #ended(server: Server, outcome: Outcome): void {
    if (this.#over) return;
    if ('cut' in outcome) this.#cut = outcome.cut;
    if ('answer' in outcome) {
      server.answered();
      // Who was asked earlier and is silent still is slower than the stagger.
      for (const attempt of this.#attempts) {
        if (attempt.server === server) break;
        if (attempt.open) attempt.server.missed(this.#loop.now);
      }
      return this.#finish(outcome.answer);
    }
    server.missed(this.#loop.now);
    if (this.#next < this.#order.length) {
      this.#ask();
      if (!this.#over) this.#loop.timers.start(this.#timer, STAGGER);
    } else {
      this.#maybeFail();
    }
  }

  #maybeFail(): void {
    if (this.#next >= this.#order.length && !this.#attempts.some(({ open }) => open)) this.#finish(this.#cut);
  }

  #finish(answer: Uint8Array | null): void {
    if (this.#over) return;
    this.cancel();
    this.#done(answer);
  }
}

/** @param message of the client, where its question lies */
export function askedOf(set: UpstreamSet, question: Question, message: Uint8Array): Asked {
  const flags = question.flags & (dnsFlag.RD | dnsFlag.AD | dnsFlag.CD);
  const asked = message.slice(HEADER, question.end);
  const ednsFlags = question.edns ? question.ednsFlags : null;
  // Labels in any case are one name; type and class are the last four bytes.
  const name = Buffer.from(asked.buffer, asked.byteOffset, asked.length - 4)
    .toString('latin1')
    .toLowerCase();
  return { key: `${set.id} ${flags} ${ednsFlags ?? '-'} ${question.type} ${name}`, flags, question: asked, ednsFlags };
}
