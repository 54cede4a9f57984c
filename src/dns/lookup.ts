/** One question that is being asked upstream, for everybody who wants to know just that. */
import { fillRandom } from '../sys/random.ts';
import { dnsFlag, dnsType, HEADER, OPT_SIZE, put16, type Question, rcode } from '../wire/dns.ts';
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

const randomIds = new Uint16Array(512);
let randomLeft = 0;
function randomId(): number {
  if (randomLeft === 0) {
    fillRandom(new Uint8Array(randomIds.buffer));
    randomLeft = randomIds.length;
  }
  return randomIds[--randomLeft] ?? 0;
}

export class Lookup {
  readonly asked: Asked;
  readonly #loop: Loop;
  readonly #set: UpstreamSet;
  readonly #order: readonly Server[];
  /** Those that were asked, in order. */
  readonly #sent: { readonly server: Server; readonly attempt: Attempt }[] = [];
  /** After the end: whose silence is still listened to. */
  readonly #watched = new Set<Server>();
  readonly #done: (answer: Uint8Array | null) => void;
  readonly #started: number;
  readonly #timer = new Timer(() => this.#step());
  #repeat = 0;
  #over = false;
  /** An answer that was cut, from a server that has no TCP: better than none. */
  #cut: Uint8Array | null = null;
  /**
   * A later server's answer that there is nothing. It counts only when those before have had their time: theirs may be the servers that know the names
   * of a company, and this one the world's.
   */
  #held: { readonly answer: Uint8Array; readonly rank: number } | null = null;

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
    for (const { attempt, server } of this.#sent) {
      attempt.close();
      if (this.#watched.has(server)) server.unwatch();
    }
  }

  #step(): void {
    const { now, timers } = this.#loop;
    const elapsed = now - this.#started;
    const [patience] = REPEATS;
    if (this.#over) return this.#giveUp(this.#watched);
    if (elapsed >= DEADLINE || (this.#held !== null && elapsed >= patience)) {
      return this.#finish(this.#held?.answer ?? this.#cut);
    }
    if (this.#held !== null) return timers.start(this.#timer, patience - elapsed);
    if (this.#sent.length < this.#order.length) {
      this.#ask();
      if (!this.#over) timers.start(this.#timer, this.#sent.length < this.#order.length ? STAGGER : this.#untilRepeat(elapsed));
      return;
    }
    for (const { attempt } of this.#sent) attempt.repeat();
    this.#repeat++;
    timers.start(this.#timer, this.#untilRepeat(elapsed));
  }

  #untilRepeat(elapsed: number): number {
    return (REPEATS[this.#repeat] ?? DEADLINE) - elapsed;
  }

  /** Asks the next server; one that cannot even be sent to is passed over. */
  #ask(): void {
    while (!this.#over) {
      const rank = this.#sent.length;
      const server = this.#order[rank];
      if (server === undefined) return this.#decide();
      const attempt = new Attempt({
        loop: this.#loop,
        connect: (transport) => this.#set.connect(transport, server),
        message: this.#message(true),
        plain: this.asked.ednsFlags === null ? null : this.#message(false),
        ended: (outcome) => this.#ended(rank, outcome),
      });
      this.#sent.push({ server, attempt });
      try {
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

  #ended(rank: number, outcome: Outcome): void {
    const server = this.#order[rank];
    if ('failed' in outcome && !outcome.alive) server?.missed(this.#loop.now);
    else server?.answered();
    if (this.#over) return;
    if ('answer' in outcome) {
      this.#held = { answer: outcome.answer, rank };
      if (!isNegative(outcome.answer)) return this.#finish(outcome.answer);
    } else {
      if ('cut' in outcome) this.#cut = outcome.cut;
      if (this.#held === null && this.#sent.length < this.#order.length) {
        this.#ask();
        if (!this.#over) this.#loop.timers.start(this.#timer, STAGGER);
        return;
      }
    }
    this.#decide();
  }

  /** Ends it if nobody is left whose answer would count. */
  #decide(): void {
    const { rank, answer } = this.#held ?? { rank: this.#sent.length, answer: this.#cut };
    if (!this.#sent.slice(0, rank).some(({ attempt }) => attempt.open)) this.#finish(answer);
  }

  #finish(answer: Uint8Array | null): void {
    if (this.#over) return;
    this.#over = true;
    const { now, timers } = this.#loop;
    timers.stop(this.#timer);
    const left = REPEATS[0] - (now - this.#started);
    const open = this.#sent.flatMap(({ server, attempt }) => (attempt.open ? [server] : []));
    if (left <= 0) this.#giveUp(open);
    // Slow or dead? Who is silent for a second is asked last for a while; one query at a time finds out, and the others do not wait for it.
    for (const { server, attempt } of left > 0 ? this.#sent : []) {
      if (attempt.open && server.watch()) this.#watched.add(server);
      else attempt.close();
    }
    if (this.#watched.size > 0) timers.start(this.#timer, left);
    this.#done(answer);
  }

  #giveUp(silent: Iterable<Server>): void {
    for (const server of silent) if (this.#isOpen(server)) server.missed(this.#loop.now);
    this.cancel();
  }

  #isOpen(server: Server): boolean {
    return this.#sent.some((sent) => sent.server === server && sent.attempt.open);
  }
}

/** Whether it says that there is no such name, or nothing of the asked type. */
const isNegative = (answer: Uint8Array): boolean =>
  ((answer[3] ?? 0) & 15) === rcode.NXDOMAIN || ((answer[6] ?? 0) | (answer[7] ?? 0)) === 0;

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
