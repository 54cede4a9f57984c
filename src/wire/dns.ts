/**
 * DNS messages (RFC 1035, EDNS0 of RFC 6891) where they lie: one reader that is used again for each message and allocates nothing, and
 * writers that put their part at an offset. Whatever bytes come, nothing here throws and nothing reads beyond `end`.
 */

/** RR types of the IANA registry. */
export const dnsType = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, AAAA: 28, OPT: 41, IXFR: 251, AXFR: 252, ANY: 255 } as const;
export const CLASS_IN = 1;

/** RCODEs; BADVERS (16) has its upper bits in the OPT record. */
export const rcode = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;

/** Bits of the header's second 16-bit word. RFC 1035 section 4.1.1, RFC 4035 section 3 */
export const dnsFlag = {
  QR: 0x8000,
  OPCODE: 0x7800,
  AA: 0x0400,
  TC: 0x0200,
  RD: 0x0100,
  RA: 0x0080,
  AD: 0x0020,
  CD: 0x0010,
} as const;

export const HEADER = 12;
/** What a UDP message may have without EDNS. RFC 1035 section 4.2.1 */
export const UDP_PLAIN = 512;
/** OPT with no options: root name, type, class, TTL, length. */
export const OPT_SIZE = 11;
/** Bytes of a name with its root label. RFC 1035 section 2.3.4 */
const NAME_MAX = 255;
/** Labels of one byte each, and no more: 127. */
const LABELS = 128;
/** Bit DO of the OPT record's flags. RFC 3225 */
export const DNSSEC_OK = 0x8000;

/** ASCII lower case of every byte; the others stay (RFC 4343). */
export const LOWER = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte));

/** FNV-1a, 32 bits. Seeded, so that nobody can prepare names that all fall into one place. */
const SEED = Math.floor(Math.random() * 2 ** 32) | 0;
const PRIME = 0x01000193;
const mix = (hash: number, byte: number): number => Math.imul(hash ^ byte, PRIME);

const u16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** What `Question.read` found. `drop`: an answer, or no DNS at all: who answered it could be made to talk to himself. */
export type Verdict = 'ok' | 'drop' | 'formerr' | 'notimp' | 'badvers';

/** A message with one question, as last read. */
export class Question {
  id = 0;
  flags = 0;
  type = 0;
  class = 0;
  /** Offsets of the labels (their length bytes) from the name's start, which is at byte 12; `starts[labels]` is the root's. */
  readonly starts = new Uint8Array(LABELS);
  /** `hashes[k]`: of the first k labels in lower case. */
  readonly hashes = new Int32Array(LABELS);
  labels = 0;
  /** Offset after the question, from the start of the message. */
  end = 0;
  edns = false;
  /** Most bytes that the asker takes in a datagram. */
  size = UDP_PLAIN;
  /** The OPT record's flags. */
  ednsFlags = 0;

  /** Reads a query at `start`. After anything but `drop`, `id` and `flags` are the message's; `end` is 12 unless there is one good question. */
  read(bytes: Uint8Array, start: number, end: number): Verdict {
    this.edns = false;
    this.size = UDP_PLAIN;
    this.ednsFlags = 0;
    this.end = HEADER;
    if (end - start < HEADER) return 'drop';
    this.id = u16(bytes, start);
    this.flags = u16(bytes, start + 2);
    if (this.flags & dnsFlag.QR) return 'drop';
    if (this.flags & dnsFlag.OPCODE) return 'notimp';
    if (u16(bytes, start + 4) !== 1) return 'formerr';
    // RFC 2181 says nothing of queries with records in these; IXFR has one SOA, and everybody else none.
    const answers = u16(bytes, start + 6);
    const authorities = u16(bytes, start + 8);
    const additional = u16(bytes, start + 10);
    if (answers > 1 || authorities > 1 || additional > 2) return 'formerr';
    if (!this.readQuestion(bytes, start, end)) return 'formerr';
    let at = start + this.end;
    let version = 0;
    for (let left = answers + authorities + additional; left > 0; left--) {
      const name = at;
      at = skipName(bytes, at, end);
      if (at < 0 || end - at < 10) return 'formerr';
      const length = u16(bytes, at + 8);
      if (end - at - 10 < length) return 'formerr';
      if (u16(bytes, at) === dnsType.OPT && left <= additional) {
        // RFC 6891 section 6.1.1: one of them, and its name is the root.
        if (this.edns || bytes[name] !== 0) return 'formerr';
        this.edns = true;
        this.size = Math.max(UDP_PLAIN, u16(bytes, at + 2));
        version = bytes[at + 5] ?? 0;
        this.ednsFlags = u16(bytes, at + 6) & DNSSEC_OK;
      }
      at += 10 + length;
    }
    return version === 0 ? 'ok' : 'badvers';
  }

  /** The question alone, of a query or an answer whose header has been looked at. @returns false: there is no whole one */
  readQuestion(bytes: Uint8Array, start: number, end: number): boolean {
    const name = start + HEADER;
    let at = name;
    let hash = SEED;
    let labels = 0;
    for (;;) {
      if (at >= end || at - name >= NAME_MAX) return false;
      const length = bytes[at] ?? 0;
      this.starts[labels] = at - name;
      this.hashes[labels] = hash;
      if (length === 0) break;
      // Two upper bits: a pointer, which in the first name of a message has nowhere to point, or a kind that was never used.
      if (length > 63) return false;
      const stop = at + 1 + length;
      if (stop > end || stop - name >= NAME_MAX) return false;
      hash = mix(hash, length);
      for (at++; at < stop; at++) hash = mix(hash, LOWER[bytes[at] ?? 0] ?? 0);
      labels++;
    }
    if (end - at < 5) return false;
    this.labels = labels;
    this.type = u16(bytes, at + 1);
    this.class = u16(bytes, at + 3);
    this.end = at + 5 - start;
    return true;
  }
}

/** @returns offset after a name, which a pointer ends; -1: it does not fit. Pointers are not followed, so that they cannot lead in circles. */
export function skipName(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end && at - start < NAME_MAX; ) {
    const length = bytes[at] ?? 0;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2 <= end ? at + 2 : -1;
    if (length > 63) return -1;
    at += 1 + length;
  }
  return -1;
}

/** A name as labels without the root, and the same in lower case to find it by. */
export interface WireName {
  readonly wire: Uint8Array;
  readonly lower: Uint8Array;
  /** As in `Question.hashes`. */
  readonly hash: number;
}

/** @param text labels joined by dots, with or without one at the end @returns null: no question can have that name */
export function wireName(text: string): WireName | null {
  const labels = text
    .replace(/\.$/, '')
    .split('.')
    .map((label) => Buffer.from(label));
  if (labels.some(({ length }) => length === 0 || length > 63)) return null;
  const wire = Buffer.concat(labels.flatMap((label) => [Buffer.of(label.length), label]));
  if (wire.length >= NAME_MAX) return null;
  const lower = Uint8Array.from(wire, (byte) => LOWER[byte] ?? 0);
  return { wire: Uint8Array.from(wire), lower, hash: lower.reduce(mix, SEED) };
}

/** Whether the bytes at `at` are, in any case, this name's labels. */
export function sameName(bytes: Uint8Array, at: number, lower: Uint8Array): boolean {
  for (let i = 0; i < lower.length; i++) if (LOWER[bytes[at + i] ?? 0] !== lower[i]) return false;
  return true;
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value & 255;
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value & 0xffff);
}

/** One resource record of `records`. */
export interface RecordPlace {
  readonly section: 'answer' | 'authority' | 'additional';
  readonly type: number;
  /** Offset of its 32-bit TTL. */
  readonly ttlAt: number;
  readonly ttl: number;
  readonly dataAt: number;
  readonly length: number;
}

/**
 * Where the records of an answer lie.
 * @param at offset after the question
 * @returns null when they do not fit: the message is broken
 */
export function records(bytes: Uint8Array, at: number): RecordPlace[] | null {
  const found: RecordPlace[] = [];
  let next = at;
  for (const [i, section] of (['answer', 'authority', 'additional'] as const).entries()) {
    for (let left = u16(bytes, 6 + 2 * i); left > 0; left--) {
      next = skipName(bytes, next, bytes.length);
      if (next < 0 || bytes.length - next < 10) return null;
      const length = u16(bytes, next + 8);
      const dataAt = next + 10;
      if (bytes.length - dataAt < length) return null;
      const ttl = u16(bytes, next + 4) * 65536 + u16(bytes, next + 6);
      found.push({ section, type: u16(bytes, next), ttlAt: next + 4, ttl, dataAt, length });
      next = dataAt + length;
    }
  }
  return found;
}

/** MINIMUM of a SOA record: its last 32 bits. RFC 1035 section 3.3.13 */
export function soaMinimum(bytes: Uint8Array, { dataAt, length }: RecordPlace): number {
  const at = dataAt + length - 4;
  return length < 22 ? 0 : u16(bytes, at) * 65536 + u16(bytes, at + 2);
}
