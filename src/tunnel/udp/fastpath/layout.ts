/** What the programs of the fast path and this process have in common: keys and values of maps. Offsets in bytes; numbers in the machine's order. */

/** Whose an inner address is, by longest prefix: bits, then the address, IPv4 as ::ffff:a.b.c.d. The value is a slot. */
export const INNER = { bits: 0, address: 4, size: 20 } as const;
/** Whose an outer address is, written the same way. The port is in network order. */
export const OUTER = { size: 16 } as const;
export const PEER = { slot: 0, port: 4, size: 8 } as const;
/** Longest prefix, and how much longer one of IPv4 is written. */
export const ADDRESS_BITS = 128;
export const MAPPED_BITS = 96;

/**
 * How packets go to a peer. All of it is the programs' own: what a datagram of the tunnel's socket looked like when it left by the device, and until
 * when (nanoseconds of CLOCK_MONOTONIC) that counts.
 */
export const WAY = {
  until: 0,
  /** Until when this host counts as one that gets large segments from the peer whole. */
  whole: 8,
  /** Until when the peer counts as one that gets them whole from this host. */
  plain: 16,
  /** Ethernet header. */
  mac: 24,
  /** Sum of the words of an IPv4 header that are the same in every packet. */
  sum: 40,
  /** IP and UDP header. */
  header: 44,
  size: 96,
} as const;

/** By slot, 64 bits each: until when packets from the peer need not be asked for. This process's own. */
export const ADMITTED = { size: 8 } as const;

/** The one value: MTU of the underlay device, bytes; and whether any peer's large segments have come whole since this process wrote it. */
export const STATE = { mtu: 0, whole: 4, size: 8 } as const;

/** By slot, 64 bits each. */
export const COUNT = { leftPackets: 0, leftBytes: 8, arrivedPackets: 16, arrivedBytes: 24, size: 32 } as const;

/** Of a peer that has prefixes, but no fast path: an index that no array has. */
export const NOBODY = 0xffff_ffff;

/** Bytes. */
export const ETHERNET = 14;
export const UDP = 8;
export const ipSize = (v6: boolean): number => (v6 ? 40 : 20);
/** What a packet gets in front of it, without the Ethernet header. */
export const overhead = (v6: boolean): number => ipSize(v6) + UDP;

/** Nanoseconds that an answer of user space, or of the host's own stack, counts. */
export const COUNTS = 2_000_000_000;
/** The same of what is said, and seen, of segments that come whole: with every packet while there are any. */
export const BRIEF = 200_000_000;

/**
 * A bit of the outer header by which a host says that it gets the other one's segments whole: of the number of an IPv4 packet, which nobody else looks at unless
 * it was cut; of an IPv6 flow label, which is any number (RFC 6437). As a little-endian machine reads them.
 */
export const WHOLE4 = 0x80;
export const WHOLE6 = 0x0100_0000;

/** For a key or a value: the kernel is given its address. */
export const memory = (size: number): Uint8Array<ArrayBuffer> => new Uint8Array(new ArrayBuffer(size));
