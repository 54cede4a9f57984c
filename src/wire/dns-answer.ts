/** Writes an answer over the query that it answers, where it lies. One writer serves all of them, and allocates nothing. */
import { CLASS_IN, dnsFlag, dnsType, HEADER, OPT_SIZE, put16, put32, type Question } from './dns.ts';

/** A record whose name is a pointer: name, type, class, TTL, length. RFC 1035 sections 4.1.3 and 4.1.4 */
const RECORD_HEAD = 12;
/** Of the question's flags an answer repeats these. RFC 1035 section 4.1.1, RFC 4035 section 3.2.2 */
const KEPT = dnsFlag.OPCODE | dnsFlag.RD | dnsFlag.CD;

export class Answer {
  /** The buffer, and where in it the message begins. */
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  readonly #ttl: number;
  readonly #ednsSize: number;
  #question: Question | null = null;
  #at = 0;
  #limit = 0;
  #count = 0;
  #truncated = false;

  /** @param options.ttl seconds, of every record @param options.ednsSize bytes that we take in a datagram, as the OPT record says */
  constructor({ ttl, ednsSize }: { readonly ttl: number; readonly ednsSize: number }) {
    this.#ttl = ttl;
    this.#ednsSize = ednsSize;
  }

  /** @param question as read from `bytes` at `start` @param room most bytes of the answer, at least those of a header, the question and OPT */
  open(question: Question, room: number): void {
    this.#question = question;
    this.#at = this.start + question.end;
    this.#limit = this.start + room - (question.edns ? OPT_SIZE : 0);
    this.#count = 0;
    this.#truncated = false;
  }

  /** @param address as a number @returns false: it did not fit, and the answer says so (TC) */
  a(address: number): boolean {
    const at = this.#record(dnsType.A, 4);
    if (at < 0) return false;
    put32(this.bytes, at, address);
    return true;
  }

  /** The same of 16 bytes. */
  aaaa(address: Uint8Array): boolean {
    const at = this.#record(dnsType.AAAA, 16);
    if (at < 0) return false;
    this.bytes.set(address, at);
    return true;
  }

  /** @param name labels with the root's */
  ptr(name: Uint8Array): boolean {
    const at = this.#record(dnsType.PTR, name.length);
    if (at < 0) return false;
    this.bytes.set(name, at);
    return true;
  }

  /** @returns offset of the data */
  #record(type: number, length: number): number {
    const at = this.#at;
    const { bytes } = this;
    if (at + RECORD_HEAD + length > this.#limit) {
      this.#truncated = true;
      return -1;
    }
    put16(bytes, at, 0xc000 | HEADER);
    put16(bytes, at + 2, type);
    put16(bytes, at + 4, CLASS_IN);
    put32(bytes, at + 6, this.#ttl);
    put16(bytes, at + 10, length);
    this.#at = at + RECORD_HEAD + length;
    this.#count++;
    return at + RECORD_HEAD;
  }

  /** Ends the answer. @param code of `rcode` @returns its length */
  close(code: number): number {
    const question = this.#question;
    if (question === null) return 0;
    const { bytes, start } = this;
    const truncated = this.#truncated ? dnsFlag.TC : 0;
    put16(bytes, start + 2, dnsFlag.QR | (question.flags & KEPT) | truncated | dnsFlag.RA | (code & 15));
    put16(bytes, start + 4, question.end > HEADER ? 1 : 0);
    put16(bytes, start + 6, this.#count);
    put16(bytes, start + 8, 0);
    put16(bytes, start + 10, question.edns ? 1 : 0);
    if (question.edns) this.#opt(code >>> 4, question.ednsFlags);
    return this.#at - start;
  }

  /** OPT without options. RFC 6891 section 6.1.3 @param extended the upper 8 of the RCODE's 12 bits */
  #opt(extended: number, flags: number): void {
    const { bytes } = this;
    const at = this.#at;
    bytes[at] = 0;
    put16(bytes, at + 1, dnsType.OPT);
    put16(bytes, at + 3, this.#ednsSize);
    bytes[at + 5] = extended;
    bytes[at + 6] = 0;
    put16(bytes, at + 7, flags);
    put16(bytes, at + 9, 0);
    this.#at = at + OPT_SIZE;
  }
}
