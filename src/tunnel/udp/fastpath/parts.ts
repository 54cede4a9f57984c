/** What the three programs are made of. r6 is always the packet, `struct __sk_buff`; `out` leaves it as it is, for whoever comes next. */
import {
  add,
  and,
  atomicAdd,
  call,
  divide,
  exit,
  jumpIf,
  jumpIf32,
  label,
  type Line,
  load,
  loadMap,
  move,
  multiply,
  type Register,
  shiftRight,
  store,
  subtract,
} from '../../../wire/bpf/assemble.ts';
import { bpfProgramH, bpfTcxH, skBuff } from '../../../wire/bpf/constants.ts';
import { ADDRESS_BITS, COUNT, INNER } from './layout.ts';

/** Descriptors. */
export interface Maps {
  readonly inner: number;
  readonly outer: number;
  readonly ways: number;
  readonly admitted: number;
  readonly state: number;
  readonly counts: number;
}

export interface Site {
  readonly maps: Maps;
  /** Outer family, address in network order, and port. */
  readonly v6: boolean;
  readonly local: Uint8Array;
  readonly port: number;
  /** Indexes of devices. */
  readonly tun: number;
  readonly underlay: number;
  /** The underlay device never cuts a segment by itself: a veth. */
  readonly passes: boolean;
}

/** Places on the stack, below r10. */
export const SLOT = -4;
export const KEY = SLOT - INNER.size;
export const ADDRESS = KEY + INNER.address;
export const NOW = -32;
export const FLAGS = -40;
export const HOW = -48;
/** Headers as they came, behind two bytes where an Ethernet header is one of them: so that what follows it lies on a multiple of four. */
export const PROTOCOL = -56;
export const IN = PROTOCOL - 112;
export const OUT = IN - 48;

/** Ethernet types as a little-endian machine reads them. */
export const IP4 = 0x0008;
export const IP6 = 0xdd86;
export const TCP = 6;
/** ICMP, of either family: one packet a question, which would wait for the process to be woken on both hosts. */
const ICMP = 1;
const ICMP6 = 58;
export const UDP = 17;
/** First byte of an IPv4 header without options. */
export const PLAIN4 = 0x45;
/** More fragments and the fragment offset, read the same way. */
const FRAGMENT = 0xff3f;
const MAPPED = 0xffff0000 | 0;

export const networkOrder = (value: number): number => ((value & 0xff) << 8) | (value >> 8);

/** Bytes of the packet to the stack, or out. */
export const loadBytes = (offset: number, to: number, length: number): readonly Line[] => [
  move('r1', 'r6'),
  move('r2', offset),
  move('r3', 'r10'),
  add('r3', to),
  move('r4', length),
  call(bpfProgramH.BPF_FUNC_skb_load_bytes),
  jumpIf(['r0', '!=', 0], 'out'),
];

/** r0 becomes the value of the key that lies on the stack, or 0. */
export const lookUp = (map: number, key: number): readonly Line[] => [
  loadMap('r1', map),
  move('r2', 'r10'),
  add('r2', key),
  call(bpfProgramH.BPF_FUNC_map_lookup_elem),
];

/** An address of a header on the stack as part of the key. */
export const address4 = (at: number): readonly Line[] => [
  store('u32', ['r10', ADDRESS], 0),
  store('u32', ['r10', ADDRESS + 4], 0),
  store('u32', ['r10', ADDRESS + 8], MAPPED),
  load('u32', 'r1', ['r10', at]),
  store('u32', ['r10', ADDRESS + 12], 'r1'),
];
export const address6 = (at: number): readonly Line[] =>
  [0, 4, 8, 12].flatMap((word) => [load('u32', 'r1', ['r10', at + word]), store('u32', ['r10', ADDRESS + word], 'r1')]);
export const address = (v6: boolean, at: number): readonly Line[] => (v6 ? address6(at) : address4(at));

/** r0 becomes the one value of the state, or out. */
export const state = (maps: Maps): readonly Line[] => [
  store('u32', ['r10', KEY], 0),
  ...lookUp(maps.state, KEY),
  jumpIf(['r0', '==', 0], 'out'),
];

/** r0 becomes whose the address in the key is, by longest prefix, or out. */
export const owner = ({ inner }: Maps): readonly Line[] => [
  store('u32', ['r10', KEY + INNER.bits], ADDRESS_BITS),
  ...lookUp(inner, KEY),
  jumpIf(['r0', '==', 0], 'out'),
];

/** Out, unless a byte of the stack is this. */
export const onlyByte = (at: number, value: number): readonly Line[] => [
  load('u8', 'r1', ['r10', at]),
  jumpIf32(['r1', '!=', value], 'out'),
];
export const onlyWord = (at: number, value: number): readonly Line[] => [
  load('u16', 'r1', ['r10', at]),
  jumpIf32(['r1', '!=', value], 'out'),
];
/** r1 becomes the inner protocol, of those that have a fast path, or out. @param at where the header says it */
export const onlyCarried = (v6: boolean, at: number): readonly Line[] => [
  load('u8', 'r1', ['r10', at]),
  jumpIf32(['r1', '==', TCP], v6 ? 'carried6' : 'carried4'),
  jumpIf32(['r1', '!=', v6 ? ICMP6 : ICMP], 'out'),
  label(v6 ? 'carried6' : 'carried4'),
];

/** Out with fragments. @param at of the IPv4 header */
export const onlyWhole = (at: number): readonly Line[] => [
  load('u16', 'r1', ['r10', at + 6]),
  and('r1', FRAGMENT),
  jumpIf32(['r1', '!=', 0], 'out'),
];

export const onlyProtocol = (v6: boolean): readonly Line[] => [
  load('u32', 'r1', ['r6', skBuff.protocol]),
  jumpIf32(['r1', '!=', v6 ? IP6 : IP4], 'out'),
  // A tag that the card took off: it is for another device.
  load('u32', 'r1', ['r6', skBuff.vlan_present]),
  jumpIf32(['r1', '!=', 0], 'out'),
];

/** `headers` becomes the length of the inner headers. @param headers holds the byte of TCP that says its own @param ip holds the bytes of the IP header */
export const headerLength = (headers: Register, ip: Register): readonly Line[] => [
  shiftRight(headers, 4),
  multiply(headers, 4),
  add(headers, ip),
];

/** Counts a packet as the segments that it is on a wire, each with its headers. r8: inner bytes, r7 or r9: of the headers. */
export const count = (
  { counts }: Maps,
  headers: Register,
  at: { readonly packets: number; readonly bytes: number },
): readonly Line[] => [
  ...lookUp(counts, SLOT),
  jumpIf(['r0', '==', 0], 'counted'),
  move('r1', 1),
  load('u32', 'r2', ['r6', skBuff.gso_size]),
  jumpIf(['r2', '==', 0], 'one'),
  move('r1', 'r8'),
  subtract('r1', headers),
  add('r1', 'r2'),
  subtract('r1', 1),
  divide('r1', 'r2'),
  label('one'),
  atomicAdd(['r0', at.packets], 'r1'),
  subtract('r1', 1),
  multiply('r1', headers),
  add('r1', 'r8'),
  atomicAdd(['r0', at.bytes], 'r1'),
  label('counted'),
];
export const LEFT = { packets: COUNT.leftPackets, bytes: COUNT.leftBytes } as const;
export const ARRIVED = { packets: COUNT.arrivedPackets, bytes: COUNT.arrivedBytes } as const;

/** The end of each: another program, and then the stack, has the packet. */
export const out: readonly Line[] = [label('out'), move('r0', bpfTcxH.TCX_NEXT), exit()];
