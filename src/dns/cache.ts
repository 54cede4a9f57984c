/** Answers of upstream servers for as long as they are true: RFC 1035 section 7.4, and RFC 2308 for what does not exist. */
import { dnsType, put32, type RecordPlace, rcode, records, soaMinimum } from '../wire/dns.ts';

/** Both bounds hold; what was not asked for the longest time goes first. */
const MAX_ENTRIES = 4096;
const MAX_BYTES = 4 << 20;
/** Longer answers are rare, and asked again. */
const MAX_ANSWER = 4096;
/** Seconds. Whoever changes a record waits at most that long for us, whatever its TTL. */
const MAX_TTL = 3600;
/** RFC 2308 section 5 suggests at most three hours; people who just made a name wait for this one. */
const MAX_NEGATIVE_TTL = 300;

interface Entry {
  readonly bytes: Uint8Array;
  /** Offsets of the TTLs, and what they were. */
  readonly ttls: readonly RecordPlace[];
  /** Milliseconds of the loop's clock. */
  readonly stored: number;
  readonly expires: number;
}

export class Cache {
  /** The one that was used last is at the end. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** @returns a copy whose TTLs have grown less; null: not there, or no longer true */
  get(key: string, now: number): Uint8Array | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    this.#delete(key, entry);
    if (now >= entry.expires) return null;
    this.#insert(key, entry);
    const bytes = new Uint8Array(entry.bytes);
    const age = Math.floor((now - entry.stored) / 1000);
    for (const { ttl, ttlAt } of entry.ttls) put32(bytes, ttlAt, Math.max(0, ttl - age));
    return bytes;
  }

  /** Keeps an answer if it may be kept. @param bytes not changed afterwards @param questionEnd offset */
  put(key: string, bytes: Uint8Array, { questionEnd, now }: { readonly questionEnd: number; readonly now: number }): void {
    const code = (bytes[3] ?? 0) & 15;
    const found =
      bytes.length > MAX_ANSWER || (code !== rcode.NOERROR && code !== rcode.NXDOMAIN) ? null : records(bytes, questionEnd);
    if (found === null) return;
    // The TTL field of OPT is something else.
    const ttls = found.filter(({ type }) => type !== dnsType.OPT);
    const seconds = lifetime(bytes, ttls);
    if (seconds <= 0) return;
    const old = this.#entries.get(key);
    if (old !== undefined) this.#delete(key, old);
    this.#insert(key, { bytes, ttls, stored: now, expires: now + seconds * 1000 });
    for (const [first, entry] of this.#entries) {
      if (this.#entries.size <= MAX_ENTRIES && this.#bytes <= MAX_BYTES) break;
      this.#delete(first, entry);
    }
  }

  #insert(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes.length;
  }

  #delete(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= entry.bytes.length;
  }
}

/** Seconds; 0: not to be kept. RFC 2181 section 8: a TTL with the upper bit is 0. */
function lifetime(bytes: Uint8Array, found: readonly RecordPlace[]): number {
  const ttl = (record: RecordPlace): number => (record.ttl >= 2 ** 31 ? 0 : record.ttl);
  const shortest = Math.min(...found.map(ttl));
  const soa = found.find(({ section, type }) => section === 'authority' && type === dnsType.SOA);
  // A chain of CNAMEs that ends in nothing has both.
  if (soa !== undefined) return Math.min(shortest, soaMinimum(bytes, soa), MAX_NEGATIVE_TTL);
  return found.some(({ section }) => section === 'answer') && ((bytes[3] ?? 0) & 15) === rcode.NOERROR
    ? Math.min(shortest, MAX_TTL)
    : 0;
}
