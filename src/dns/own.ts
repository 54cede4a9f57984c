/** Answers from the names of endpoints, without asking anybody. */
import { CLASS_IN, dnsType, type Question, rcode } from '../wire/dns.ts';
import { Answer } from '../wire/dns-answer.ts';
import type { View } from './view.ts';
import type { AddressList, Name } from './zones.ts';

/** Seconds, as Docker's. */
const TTL = 600;
/** Query types that are about the message or a whole zone and not about a name (RFC 6895 section 3.1), without ANY. */
const META = { first: 249, last: 254 };

/** What becomes of a query: an answer's length, or one of these. */
export const DROP = 0;
/** Not our name: `question` and the bytes are as they were. */
export const FORWARD = -1;

/** How long an answer may be. */
export interface Room {
  /** What the place holds. */
  readonly bytes: number;
  /** A datagram: what the asker said that he takes counts, too. */
  readonly datagram: boolean;
}

export class OwnNames {
  readonly question: Question;
  readonly #answer: Answer;

  /** @param ednsSize bytes that we take in a datagram */
  constructor(question: Question, ednsSize: number) {
    this.question = question;
    this.#answer = new Answer({ ttl: TTL, ednsSize });
  }

  /** The message that `respond` and `fail` work on. */
  place(bytes: Uint8Array, start: number): void {
    this.#answer.bytes = bytes;
    this.#answer.start = start;
  }

  /**
   * Answers the query at the place, in the same place.
   * @param length of the query
   * @returns the answer's length, DROP or FORWARD
   */
  respond(view: View, length: number, { bytes: size, datagram }: Room): number {
    const { question } = this;
    const { bytes, start } = this.#answer;
    switch (question.read(bytes, start, start + length)) {
      case 'drop':
        return DROP;
      case 'formerr':
        return this.fail(rcode.FORMERR);
      case 'notimp':
        return this.fail(rcode.NOTIMP);
      case 'badvers':
        return this.fail(rcode.BADVERS);
      case 'ok':
        break;
    }
    const room = datagram && question.size < size ? question.size : size;
    if (question.class !== CLASS_IN) return this.fail(rcode.REFUSED);
    if (question.type >= META.first && question.type <= META.last) return this.fail(rcode.NOTIMP);
    if (question.type === dnsType.PTR) {
      const name = view.reverse(question, bytes, start);
      if (name !== null) {
        this.#answer.open(question, room);
        this.#answer.ptr(name);
        return this.#answer.close(rcode.NOERROR);
      }
    }
    const name = view.find(question, bytes, start);
    return name === undefined ? FORWARD : this.#addresses(name, room);
  }

  /** An answer without records to the question that was read last. @param code of `rcode` */
  fail(code: number): number {
    const { question } = this;
    // What follows a question that is broken is not looked at again.
    this.#answer.open(question, Number.MAX_SAFE_INTEGER);
    return this.#answer.close(code);
  }

  #addresses({ v4, v6 }: Name, room: number): number {
    const answer = this.#answer;
    const { type } = this.question;
    answer.open(this.question, room);
    if (type === dnsType.A || type === dnsType.ANY) {
      const { members } = v4;
      for (let i = 0, at = turnOf(v4); i < members.length; i++, at = next(at, members.length)) {
        if (!answer.a(members[at]?.address ?? 0)) break;
      }
    }
    if (type === dnsType.AAAA || type === dnsType.ANY) {
      const { members } = v6;
      for (let i = 0, at = turnOf(v6); i < members.length; i++, at = next(at, members.length)) {
        const address = members[at]?.address;
        if (address === undefined || !answer.aaaa(address)) break;
      }
    }
    return answer.close(rcode.NOERROR);
  }
}

/** Who is first this time. */
function turnOf(list: AddressList<unknown>): number {
  list.turn = list.turn + 1 < list.members.length ? list.turn + 1 : 0;
  return list.turn;
}

const next = (at: number, length: number): number => (at + 1 < length ? at + 1 : 0);
