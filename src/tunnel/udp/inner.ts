/** Fields of the packets inside: IPv4 (RFC 791), IPv6 (RFC 8200), TCP (RFC 9293), UDP (RFC 768). Offsets in bytes. */
import { fold, sum16 } from './checksum.ts';

export const IP4 = {
  totalLength: 2,
  id: 4,
  fragment: 6,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
  size: 20,
} as const;
export const IP6 = { payloadLength: 4, nextHeader: 6, source: 8, destination: 24, size: 40 } as const;
export const TCP = { sequence: 4, ack: 8, offset: 12, flags: 13, window: 14, checksum: 16, size: 20 } as const;
export const UDP = { length: 4, checksum: 6, size: 8 } as const;

export const PROTOCOL = { tcp: 6, udp: 17 } as const;
export const TCP_FLAG = { fin: 0x01, psh: 0x08, ack: 0x10, cwr: 0x80 } as const;
/** More fragments, and the fragment offset. */
const FRAGMENT = 0x3fff;

/** `struct virtio_net_hdr` without mergeable buffers, in the machine's byte order. <linux/virtio_net.h> */
export const VNET = { flags: 0, gsoType: 1, headerLength: 2, gsoSize: 4, checksumStart: 6, checksumOffset: 8, size: 10 } as const;
export const VNET_FLAG = { needsChecksum: 1 } as const;
export const GSO = { none: 0, tcp4: 1, tcp6: 4, udp: 5, ecn: 0x80 } as const;

/** Why a packet is dropped; also the order of the counters. */
export const DROPS = ['version', 'length', 'source', 'peer', 'route', 'send', 'write'] as const;
export type Drop = (typeof DROPS)[number];

/** Checks what everything that follows relies on. @returns 4 or 6, or why not */
export function versionOf(view: DataView, at: number, length: number): 4 | 6 | 'version' | 'length' {
  if (length < IP4.size) return 'length';
  const first = view.getUint8(at);
  if (first >> 4 === 4) {
    const header = (first & 15) * 4;
    return header >= IP4.size && header <= length && view.getUint16(at + IP4.totalLength) === length ? 4 : 'length';
  }
  if (first >> 4 !== 6) return 'version';
  return length >= IP6.size && view.getUint16(at + IP6.payloadLength) + IP6.size === length ? 6 : 'length';
}

/** Where the transport header begins, of a whole TCP or UDP packet without IPv6 extension headers; 0 for any other. */
export function transportAt(view: DataView, at: number, version: 4 | 6): number {
  if (version === 4) {
    if (view.getUint16(at + IP4.fragment) & FRAGMENT) return 0;
    return at + (view.getUint8(at) & 15) * 4;
  }
  return at + IP6.size;
}

export const protocolOf = (view: DataView, at: number, version: 4 | 6): number =>
  view.getUint8(at + (version === 4 ? IP4.protocol : IP6.nextHeader));

/** Sum of the pseudo-header: addresses, protocol, transport length (RFC 9293 3.1, RFC 8200 8.1), folded, not complemented. */
export function pseudoSum(view: DataView, at: number, { version, protocol, length }: Pseudo): number {
  const start = protocol + length;
  return version === 4 ? sum16(view, at + IP4.source, { length: 8, start }) : sum16(view, at + IP6.source, { length: 32, start });
}

interface Pseudo {
  readonly version: 4 | 6;
  readonly protocol: number;
  /** bytes from the transport header on */
  readonly length: number;
}

/** Writes the header checksum of an IPv4 packet. */
export function sealIp4(view: DataView, at: number): void {
  view.setUint16(at + IP4.checksum, 0);
  const length = (view.getUint8(at) & 15) * 4;
  view.setUint16(at + IP4.checksum, ~fold(sum16(view, at, { length, start: 0 })) & 0xffff);
}
