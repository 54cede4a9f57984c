/** ICMP echo and the errors that tell of a path: RFC 792, RFC 1191 (IPv4), RFC 4443 (IPv6). Pure; whatever bytes come, nothing throws. */
import type { Family } from '../base/ip.ts';

/** Type, code, checksum, identifier, sequence number. */
export const ECHO_HEADER = 8;
/** Of an IP packet without options, bytes. */
export const IP_HEADER = { 4: 20, 6: 40 } as const;
export const UDP_HEADER = 8;

const TYPE = {
  4: { request: 8, reply: 0, unreachable: 3, tooBig: 3 },
  6: { request: 128, reply: 129, unreachable: 1, tooBig: 2 },
} as const;
/** Types that `heard` can make something of, for a filter in front of it. */
export const HEARD = {
  4: [TYPE[4].reply, TYPE[4].unreachable],
  6: [TYPE[6].reply, TYPE[6].unreachable, TYPE[6].tooBig],
} as const;

const FRAGMENTATION_NEEDED = 4;
const PORT_UNREACHABLE = { 4: 3, 6: 4 } as const;
const PROTOCOL = { icmp: { 4: 1, 6: 58 }, udp: 17 } as const;
/** Where an IPv4 header has the protocol, an IPv6 header the next one. */
const PROTOCOL_AT = { 4: 9, 6: 6 } as const;

export interface Echo {
  readonly family: Family;
  /** 16 bits each. */
  readonly id: number;
  readonly sequence: number;
  /** Of the whole IP packet, bytes; at least both headers. */
  readonly size: number;
}

/** What follows the IP header. The checksum of ICMPv6 is the kernel's to fill in (RFC 3542 section 3.1). */
export function echoRequest({ family, id, sequence, size }: Echo): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.max(ECHO_HEADER, size - IP_HEADER[family]));
  const view = new DataView(bytes.buffer);
  bytes[0] = TYPE[family].request;
  view.setUint16(4, id);
  view.setUint16(6, sequence);
  if (family === 4) view.setUint16(2, ~sum(bytes, 0) & 0xffff);
  return bytes;
}

export type Heard =
  | { readonly type: 'reply'; readonly id: number; readonly sequence: number }
  /** `mtu` 0: the router does not say (RFC 1191 section 3). */
  | { readonly type: 'too-big'; readonly id: number; readonly sequence: number; readonly mtu: number }
  | { readonly type: 'port-unreachable'; readonly sourcePort: number; readonly destinationPort: number };

/** @param packet as a raw socket has it: of IPv4 with its IP header. @returns null for what is none of these */
export function heard(family: Family, packet: Uint8Array): Heard | null {
  const at = family === 4 ? headerLength(packet, 0) : 0;
  if (at === null || packet.length < at + ECHO_HEADER) return null;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const [type, code] = [view.getUint8(at), view.getUint8(at + 1)];
  if (type === TYPE[family].reply) return { type: 'reply', id: view.getUint16(at + 4), sequence: view.getUint16(at + 6) };
  const about = quoted(family, packet, at + ECHO_HEADER);
  if (about === null) return null;
  if (type === TYPE[family].tooBig && (family === 6 || code === FRAGMENTATION_NEEDED) && about.protocol === PROTOCOL.icmp[family])
    return {
      type: 'too-big',
      id: view.getUint16(about.at + 4),
      sequence: view.getUint16(about.at + 6),
      mtu: family === 4 ? view.getUint16(at + 6) : view.getUint32(at + 4),
    };
  if (type === TYPE[family].unreachable && code === PORT_UNREACHABLE[family] && about.protocol === PROTOCOL.udp)
    return { type: 'port-unreachable', sourcePort: view.getUint16(about.at), destinationPort: view.getUint16(about.at + 2) };
  return null;
}

/** The packet that an error is about: where what follows its IP header begins, of which there are at least 8 bytes. */
function quoted(family: Family, packet: Uint8Array, at: number): { readonly protocol: number; readonly at: number } | null {
  const length = family === 4 ? headerLength(packet, at) : IP_HEADER[6];
  if (length === null || packet.length < at + length + 8) return null;
  return { protocol: packet[at + PROTOCOL_AT[family]] ?? 0, at: at + length };
}

function headerLength(packet: Uint8Array, at: number): number | null {
  const first = packet[at] ?? 0;
  const length = (first & 0xf) * 4;
  return first >> 4 === 4 && length >= IP_HEADER[4] && packet.length >= at + length ? length : null;
}

export interface Datagram {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
}

/** A UDP header with its checksum made, and what follows it (RFC 768, RFC 8200 section 8.1). @param datagram addresses of one family, in bytes */
export function summedDatagram({ source, destination, sourcePort, destinationPort, payload }: Datagram): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(UDP_HEADER + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  view.setUint16(4, bytes.length);
  bytes.set(payload, UDP_HEADER);
  const pseudo = sum(source, sum(destination, bytes.length + PROTOCOL.udp));
  // 0 would say that there is none.
  view.setUint16(6, ~sum(bytes, pseudo) & 0xffff || 0xffff);
  return bytes;
}

/** RFC 1071: the sum of 16-bit words in one's complement, not complemented. */
function sum(bytes: Uint8Array, start: number): number {
  let total = start;
  for (let i = 0; i < bytes.length; i += 2) total += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}
