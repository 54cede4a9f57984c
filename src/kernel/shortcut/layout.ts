/**
 * How the programs and the daemon see the same memory. Which port leads where is a trie of prefixes (BPF_MAP_TYPE_LPM_TRIE): a range of ports is a
 * few prefixes, as many as its ends are uneven, and at most 30; a port is one. A hash map would have an element for each port of a range, and an array
 * of all 65,536 ports takes 1.5 MB for each daemon before anything is published, and another for each address of 127.0.0.0/8.
 */

/** An IPv6 address, or an IPv4 address as ::ffff:192.0.2.1: 16 bytes in network order. An IPv4 address is the last word. */
export const ADDRESS = { size: 16, last: 12 } as const;

/**
 * `struct bpf_lpm_trie_key`: u32 number of bits, then the bits: an IPv4 address (any address is zeros, ::1 and :: are 0.0.0.1, which no
 * host can ask for) and a port, in network order.
 */
export const KEY = { bits: 0, address: 4, port: 8, size: 12 } as const;
export const KEY_BITS = 48;
/** What the kernel is told: the bytes that count. */
export const KEY_SIZE = 10;

/** Stands for the port that was asked for. */
export const SAME_PORT = 0;
/** The container's address, and port in network order. Then two bytes of nothing. */
export const TARGET = { address: 0, port: 16, size: 20 } as const;

/** At a socket: whom it asked for, and whom it got. Ports are 32 bits wide, in network order, as programs see them. */
export const NOTE = { peer: 0, target: 16, peerPort: 32, targetPort: 36, size: 40 } as const;
