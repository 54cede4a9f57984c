/** Names of addresses: `4.3.2.1.in-addr.arpa` (RFC 1035 section 3.5), 32 digits and `ip6.arpa` (RFC 3596 section 2.5). */
import { type IpAddress, ipFromBytes, isIp, parseIp } from '../base/ip.ts';
import { HEADER, type Question, sameName, wireName } from '../wire/dns.ts';

const V4 = { labels: 4, suffix: wireName('in-addr.arpa')?.lower ?? new Uint8Array(0) };
const V6 = { labels: 32, suffix: wireName('ip6.arpa')?.lower ?? new Uint8Array(0) };

/** @returns the address that the question's name stands for; null: none */
export function reverseAddress(question: Question, bytes: Uint8Array, start: number): IpAddress | null {
  const name = start + HEADER;
  const label = (i: number): string => {
    const at = name + (question.starts[i] ?? 0);
    return Buffer.from(bytes.buffer, bytes.byteOffset + at + 1, bytes[at] ?? 0).toString('latin1');
  };
  const isUnder = ({ labels, suffix }: typeof V4): boolean =>
    question.labels === labels + 2 && sameName(bytes, name + (question.starts[labels] ?? 0), suffix);
  if (isUnder(V4)) {
    const text = [3, 2, 1, 0].map(label).join('.');
    return isIp(text) ? parseIp(text) : null;
  }
  if (!isUnder(V6)) return null;
  const digits = Array.from({ length: 32 }, (_, i) => label(31 - i));
  if (!digits.every((digit) => /^[0-9a-f]$/i.test(digit))) return null;
  return ipFromBytes(Buffer.from(digits.join(''), 'hex'));
}
