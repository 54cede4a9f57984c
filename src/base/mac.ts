/** MAC addresses (EUI-48) as branded canonical text: lower case, colons. */
import { invalid } from './errors.ts';
import { ipBytes, type IpAddress } from './ip.ts';
import { shown } from './shown.ts';

declare const brand: unique symbol;
/** `02:42:c0:a8:07:0a` */
export type Mac = string & { readonly [brand]: 'mac' };

/** @throws invalid unless the text is six bytes in hex with colons or dashes, unicast and not all zero. */
export function parseMac(text: string): Mac {
  const plain = text.toLowerCase().replaceAll('-', ':');
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(plain)) {
    throw invalid(`invalid MAC address: ${shown(text)}`);
  }
  if (plain === '00:00:00:00:00:00') throw invalid('invalid MAC address: 00:00:00:00:00:00 is not an address');
  if (Number.parseInt(plain.slice(0, 2), 16) & 1) throw invalid(`invalid MAC address: ${plain} is a multicast address`);
  return plain as Mac;
}

/**
 * The address Docker's bridge driver gave an endpoint for years: 02:42 and the four bytes of its IPv4 address, so that a
 * neighbour's cached entry stays right when an address moves between containers of one host.
 */
export function macFromIpv4(address: IpAddress): Mac {
  return formatMac(Uint8Array.from([0x02, 0x42, ...ipBytes(address)]));
}

/** A locally administered unicast address (IEEE 802: bit 1 of the first byte set, bit 0 clear) from 6 random bytes. */
export function randomMac(bytes: Uint8Array = crypto.getRandomValues(new Uint8Array(6))): Mac {
  const out = Uint8Array.from(bytes);
  out[0] = ((out[0] ?? 0) & 0xfe) | 0x02;
  return formatMac(out);
}

export const macBytes = (mac: Mac): Uint8Array => Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16));

export const formatMac = (bytes: Uint8Array): Mac =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':') as Mac;
