/**
 * IP addresses, prefixes and interface addresses as branded canonical text: plain, serialisable, comparable with `===`.
 * Parsing is strict (no octal, no zone, no shorthand); IPv6 text is RFC 5952.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { invalid } from './errors.ts';
import { shown } from './shown.ts';

export type Family = 4 | 6;
declare const brand: unique symbol;
/** `10.0.0.1`, `fd00::1` */
export type IpAddress = string & { readonly [brand]: 'ip' };
/** A network: host bits are zero. `10.0.0.0/24` */
export type Prefix = string & { readonly [brand]: 'prefix' };
/** An address with the length of its on-link prefix. `10.0.0.7/24` */
export type IfAddress = string & { readonly [brand]: 'ifaddr' };

/** Number of bits of an address of this family. */
export const bitsOf = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);

/** @throws invalid when the text is not one strict IPv4 or IPv6 address. IPv4-mapped IPv6 stays IPv6. */
export function parseIp(text: string): IpAddress {
  if (isIPv4(text)) return text as IpAddress;
  if (isIPv6(text) && !text.includes('%')) return formatIp(6, v6ToBigint(text));
  throw invalid(`invalid IP address: ${shown(text)}`);
}

export const isIp = (text: string): boolean => isIPv4(text) || (isIPv6(text) && !text.includes('%'));

export const familyOf = (value: IpAddress | Prefix | IfAddress): Family => (value.includes(':') ? 6 : 4);

/** Unsigned value of an address: 32 or 128 bits. */
export function ipValue(address: IpAddress): bigint {
  return address.includes(':') ? v6ToBigint(address) : BigInt(v4ToNumber(address));
}

/** @param value must fit the family; the caller guarantees it. */
export function formatIp(family: Family, value: bigint): IpAddress {
  if (family === 4) {
    const n = Number(value);
    return `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}` as IpAddress;
  }
  return formatV6(value) as IpAddress;
}

/** Network-order bytes: 4 or 16. */
export function ipBytes(address: IpAddress): Uint8Array {
  if (!address.includes(':')) return Uint8Array.from(address.split('.'), Number);
  const out = new Uint8Array(16);
  let value = v6ToBigint(address);
  for (let i = 15; i >= 0; i--) {
    out[i] = Number(value & 255n);
    value >>= 8n;
  }
  return out;
}

/** @throws invalid unless there are 4 or 16 bytes. */
export function ipFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return bytes.join('.') as IpAddress;
  if (bytes.length !== 16) throw invalid(`invalid IP address: ${bytes.length} bytes`);
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return formatIp(6, value);
}

/** @throws invalid for a bad address, a length out of range (the text Go's net.ParseCIDR users know). */
export function parseIfAddress(text: string): IfAddress {
  const { address, length } = splitCidr(text);
  return `${address}/${length}` as IfAddress;
}

/** @throws invalid also when host bits are set; the message names the prefix that was probably meant. */
export function parsePrefix(text: string): Prefix {
  const { address, length } = splitCidr(text);
  const masked = maskTo(address, length);
  if (masked !== address) {
    throw invalid(`invalid subnet ${text}: it should be ${masked}/${length}`);
  }
  return `${address}/${length}` as Prefix;
}

/** The prefix that an address of this length lies in; host bits are cleared. */
export function prefixOf(address: IpAddress | IfAddress, length?: number): Prefix {
  const slash = address.indexOf('/');
  const ip = (slash < 0 ? address : address.slice(0, slash)) as IpAddress;
  const bits = length ?? (slash < 0 ? bitsOf(familyOf(ip)) : Number(address.slice(slash + 1)));
  return `${maskTo(ip, bits)}/${bits}` as Prefix;
}

/** The address part of `address/length`. */
export const addressOf = (value: Prefix | IfAddress): IpAddress => value.slice(0, value.indexOf('/')) as IpAddress;

/** The length part of `address/length`, in bits. */
export const lengthOf = (value: Prefix | IfAddress): number => Number(value.slice(value.indexOf('/') + 1));

/** `ip` with a prefix length in bits. */
export const withLength = (address: IpAddress, length: number): IfAddress => `${address}/${length}` as IfAddress;

/** First and last address value of a prefix, both inclusive. */
export function prefixRange(prefix: Prefix): { readonly family: Family; readonly first: bigint; readonly last: bigint } {
  const family = familyOf(prefix);
  const first = ipValue(addressOf(prefix));
  const size = 1n << BigInt(bitsOf(family) - lengthOf(prefix));
  return { family, first, last: first + size - 1n };
}

export function prefixContains(prefix: Prefix, address: IpAddress): boolean {
  if (familyOf(prefix) !== familyOf(address)) return false;
  return maskTo(address, lengthOf(prefix)) === addressOf(prefix);
}

export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  const length = Math.min(lengthOf(a), lengthOf(b));
  return familyOf(a) === familyOf(b) && maskTo(addressOf(a), length) === maskTo(addressOf(b), length);
}

function maskTo(address: IpAddress, length: number): IpAddress {
  if (!address.includes(':')) {
    const mask = length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
    return formatIp(4, BigInt((v4ToNumber(address) & mask) >>> 0));
  }
  const host = BigInt(128 - length);
  return formatIp(6, (v6ToBigint(address) >> host) << host);
}

function splitCidr(text: string): { address: IpAddress; length: number } {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  if (!match?.[1] || !match[2] || !isIp(match[1]) || (match[2].length > 1 && match[2].startsWith('0'))) {
    throw invalid(`invalid CIDR address: ${shown(text)}`);
  }
  const address = parseIp(match[1]);
  const length = Number(match[2]);
  if (length > bitsOf(familyOf(address))) throw invalid(`invalid CIDR address: ${shown(text)}`);
  return { address, length };
}

function v4ToNumber(text: string): number {
  let value = 0;
  for (const part of text.split('.')) value = value * 256 + Number(part);
  return value;
}

function v6ToBigint(text: string): bigint {
  let source = text;
  const dot = text.lastIndexOf('.');
  if (dot >= 0) {
    // Embedded IPv4 (RFC 4291 section 2.2, form 3)
    const colon = text.lastIndexOf(':');
    const n = v4ToNumber(text.slice(colon + 1));
    source = `${text.slice(0, colon + 1)}${(n >>> 16).toString(16)}:${(n & 0xffff).toString(16)}`;
  }
  const [head = '', tail] = source.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = tail === undefined ? left : [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  let value = 0n;
  for (const group of groups) value = (value << 16n) | BigInt(Number.parseInt(group, 16));
  return value;
}

function formatV6(value: bigint): string {
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((value >> shift) & 0xffffn));
  // RFC 5952 section 4.2: the longest run of two or more zero groups becomes "::", the first one on a tie.
  let best = { start: -1, length: 1 };
  for (let i = 0; i < 8; ) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > best.length) best = { start: i, length: end - i };
    i = end === i ? i + 1 : end;
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((g) => g.toString(16))
      .join(':');
  // RFC 5952 section 5: IPv4-mapped addresses show their IPv4 part.
  if (value >> 32n === 0xffffn) return `::ffff:${formatIp(4, value & 0xffffffffn)}`;
  return best.start < 0 ? hex(0, 8) : `${hex(0, best.start)}::${hex(best.start + best.length, 8)}`;
}
