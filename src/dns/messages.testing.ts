/** Queries and answers for tests, by another implementation of the format (dns-packet). */
import { type DecodedPacket, decode, encode } from 'dns-packet';
import { dnsFlag, rcode } from '../wire/dns.ts';

/** dns-packet knows more types than its declarations. */
export type QueryType = 'A' | 'AAAA' | 'PTR' | 'TXT' | 'MX' | 'SRV' | 'ANY' | 'AXFR';

export interface QueryOptions {
  readonly id?: number;
  readonly class?: 'IN' | 'CH';
  /** Bytes of a datagram, by EDNS. */
  readonly size?: number;
  readonly version?: number;
  readonly flags?: number;
}

export function queryOf(name: string, type: QueryType, options: QueryOptions = {}): Buffer {
  const { id = 4711, size, version = 0, flags = dnsFlag.RD } = options;
  return encode({
    type: 'query',
    id,
    flags,
    questions: [{ name, type: type as 'A', class: options.class ?? 'IN' }],
    additionals:
      size === undefined
        ? []
        : [
            {
              type: 'OPT',
              name: '.',
              udpPayloadSize: size,
              extendedRcode: 0,
              ednsVersion: version,
              flags: 0,
              flag_do: false,
              options: [],
            },
          ],
  });
}

export interface Read {
  readonly id: number;
  readonly code: number;
  readonly cut: boolean;
  /** As the question has it, letter by letter. */
  readonly name: string;
  /** Data of the answers, in order. */
  readonly answers: readonly string[];
  readonly packet: DecodedPacket;
}

export function readAnswer(bytes: Uint8Array): Read {
  const packet = decode(Buffer.from(bytes));
  const { id = -1, flags = 0, flag_tc: cut, questions, answers } = packet;
  return {
    id,
    code: flags & 15,
    cut,
    name: questions?.[0]?.name ?? '',
    answers: (answers ?? []).map((record) => {
      const data: unknown = 'data' in record ? record.data : '';
      return typeof data === 'string' ? data : JSON.stringify(data);
    }),
    packet,
  };
}

export const { NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS } = rcode;
