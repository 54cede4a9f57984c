/** JSON that somebody else has written, read with suspicion: what is not as it should be is an `invalid` that says what. */
import { invalid } from '../base/errors.ts';
import { type IpAddress, ipValue, familyOf, parseIp, type Prefix, parsePrefix } from '../base/ip.ts';
import { shown } from '../base/shown.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** @throws invalid unless the text is one JSON object. */
export function parseFields(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(`not JSON: ${shown(JSON.stringify(text))}`);
  }
  return fieldsOf(value, 'the value');
}

export function fieldsOf(value: unknown, name: string): Fields {
  if (!isFields(value)) throw wrong(name, 'an object', value);
  return value;
}

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

export function textOf(value: unknown, name: string): string {
  if (typeof value !== 'string') throw wrong(name, 'text', value);
  return value;
}

export function flagOf(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw wrong(name, 'true or false', value);
  return value;
}

/** A whole number from 0 to `most`. */
export function countOf(value: unknown, name: string, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > most)
    throw wrong(name, `a number from 0 to ${most}`, value);
  return value;
}

export function listOf<T>(value: unknown, name: string, item: (value: unknown, name: string) => T): readonly T[] {
  if (!Array.isArray(value)) throw wrong(name, 'a list', value);
  return value.map((one: unknown, i) => item(one, `${name}[${i}]`));
}

export function textsOf(value: unknown, name: string): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fieldsOf(value, name)).map(([key, text]) => [key, textOf(text, `${name}.${key}`)]));
}

/** First and last of what can be no host's address on an underlay: this network, loopback, multicast and all above (RFC 6890). */
const NO_HOST = [
  ['0.0.0.0', '0.255.255.255'],
  ['127.0.0.0', '127.255.255.255'],
  ['224.0.0.0', '255.255.255.255'],
  ['::', '::1'],
  ['ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
].map(([first = '', last = '']) => ({ first: parseIp(first), last: parseIp(last) }));

/** An address that a host can have on an underlay. */
export function hostAddressOf(value: unknown, name: string): IpAddress {
  const address = parseIp(textOf(value, name));
  const bad = NO_HOST.some(
    ({ first, last }) =>
      familyOf(first) === familyOf(address) && ipValue(address) >= ipValue(first) && ipValue(address) <= ipValue(last),
  );
  if (bad) throw invalid(`${name}: ${address} is no host's address`);
  return address;
}

export const prefixIn = (value: unknown, name: string): Prefix => parsePrefix(textOf(value, name));

function wrong(name: string, wanted: string, value: unknown): Error {
  return invalid(`${name}: ${wanted} is wanted, not ${shown(JSON.stringify(value) ?? 'nothing')}`);
}
