/**
 * At the TUN device, where packets leave for the tunnel: TCP, or a ping, to a peer whose way is known gets its outer headers here, and goes on to the underlay device
 * as large as it is. Everything else goes to the process.
 */
import {
  add,
  call,
  exit,
  jump,
  jumpIf,
  jumpIf32,
  label,
  type Line,
  load,
  loadWide,
  move,
  and,
  or,
  shiftRight,
  store,
  swap16,
  xor,
} from '../../../wire/bpf/assemble.ts';
import { bpfProgramH, bpfTcxH, skBuff } from '../../../wire/bpf/constants.ts';
import { BRIEF, COUNTS, ETHERNET, overhead, STATE, UDP as UDP_SIZE, WAY, WHOLE4, WHOLE6 } from './layout.ts';
import {
  address4,
  address6,
  count,
  headerLength,
  IN,
  IP4,
  IP6,
  LEFT,
  loadBytes,
  lookUp,
  NOW,
  onlyByte,
  onlyCarried,
  onlyWhole,
  OUT,
  out,
  owner,
  PLAIN4,
  type Site,
  SLOT,
  state,
} from './parts.ts';

/** Longest IPv4 packet, bytes. */
const LONGEST = 65_535;

/** r8: length of the packet, r9: of its headers, r7: the way. */
export const leave = ({ maps, v6, underlay, passes }: Site): readonly Line[] => [
  move('r6', 'r1'),
  load('u32', 'r8', ['r6', skBuff.len]),
  jumpIf(['r8', '>', LONGEST - overhead(v6)], 'out'),
  load('u32', 'r1', ['r6', skBuff.protocol]),
  jumpIf32(['r1', '==', IP4], 'four'),
  jumpIf32(['r1', '==', IP6], 'six'),
  jump('out'),

  label('four'),
  ...loadBytes(0, IN, 40),
  ...onlyByte(IN, PLAIN4),
  ...onlyCarried(false, IN + 9),
  ...onlyWhole(IN),
  ...address4(IN + 16),
  load('u8', 'r9', ['r10', IN + 32]),
  move('r1', 20),
  jump('known'),

  label('six'),
  ...loadBytes(0, IN, 60),
  ...onlyCarried(true, IN + 6),
  ...address6(IN + 24),
  load('u8', 'r9', ['r10', IN + 52]),
  move('r1', 40),

  label('known'),
  ...headerLength('r9', 'r1'),
  ...owner(maps),
  load('u32', 'r1', ['r0', 0]),
  store('u32', ['r10', SLOT], 'r1'),
  // What does not fit is cut by the host, or told of to its sender: both are the process's.
  ...state(maps),
  load('u32', 'r2', ['r0', STATE.mtu]),
  move('r1', 'r8'),
  load('u32', 'r3', ['r6', skBuff.gso_size]),
  jumpIf(['r3', '==', 0], 'measured'),
  move('r1', 'r9'),
  add('r1', 'r3'),
  label('measured'),
  add('r1', overhead(v6)),
  jumpIf(['r1', '>', 'r2'], 'out'),
  ...lookUp(maps.ways, SLOT),
  jumpIf(['r0', '==', 0], 'out'),
  move('r7', 'r0'),
  call(bpfProgramH.BPF_FUNC_ktime_get_ns),
  load('u64', 'r1', ['r7', WAY.until]),
  jumpIf(['r1', '<=', 'r0'], 'out'),
  store('u64', ['r10', NOW], 'r0'),
  ...(v6 ? header6 : header4),
  ...(passes ? plain(v6) : []),

  // The room that it gets is said to be a UDP tunnel's, so that large segments are cut inside of it, each with these headers.
  move('r1', 'r6'),
  move('r2', overhead(v6)),
  move('r3', bpfProgramH.BPF_ADJ_ROOM_MAC),
  move(
    'r4',
    bpfProgramH.BPF_F_ADJ_ROOM_FIXED_GSO |
      bpfProgramH.BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
      (v6 ? bpfProgramH.BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : bpfProgramH.BPF_F_ADJ_ROOM_ENCAP_L3_IPV4),
  ),
  call(bpfProgramH.BPF_FUNC_skb_adjust_room),
  jumpIf(['r0', '!=', 0], 'out'),
  move('r3', 'r10'),
  add('r3', OUT),
  ...write(0, overhead(v6)),
  // The TUN device has no Ethernet header, the other one has.
  ...grow(ETHERNET, 'lost'),
  label('mac'),
  move('r3', 'r7'),
  add('r3', WAY.mac),
  ...write(0, ETHERNET),
  ...count(maps, 'r9', LEFT),
  move('r1', underlay),
  move('r2', 0),
  call(bpfProgramH.BPF_FUNC_redirect),
  exit(),

  // With half of its headers nobody can use it.
  label('lost'),
  move('r0', bpfTcxH.TCX_DROP),
  exit(),
  ...out,
];

/**
 * On a wire that only hands on what it gets, to a peer that gets it so: a large segment is one packet there, headers and all, and nobody will ask how it is to be
 * cut. Then it is not called a tunnel's either, which a bridge behind the peer, that knows nothing of tunnels, would cut in its turn (hw_enc_features of br_device.c).
 */
const plain = (v6: boolean): readonly Line[] => [
  load('u32', 'r1', ['r6', skBuff.gso_size]),
  jumpIf(['r1', '==', 0], 'room'),
  load('u64', 'r1', ['r7', WAY.plain]),
  load('u64', 'r2', ['r10', NOW]),
  jumpIf(['r1', '<=', 'r2'], 'room'),
  ...grow(ETHERNET + overhead(v6), 'out'),
  move('r3', 'r10'),
  add('r3', OUT),
  ...write(ETHERNET, overhead(v6)),
  jump('mac'),
  label('room'),
];

/** Bytes in front, zero. */
const grow = (bytes: number, otherwise: string): readonly Line[] => [
  move('r1', 'r6'),
  move('r2', bytes),
  move('r3', 0),
  call(bpfProgramH.BPF_FUNC_skb_change_head),
  jumpIf(['r0', '!=', 0], otherwise),
];

/** From r3 into the packet. */
function write(at: number, length: number): readonly Line[] {
  return [
    move('r1', 'r6'),
    move('r2', at),
    move('r4', length),
    move('r5', 0),
    call(bpfProgramH.BPF_FUNC_skb_store_bytes),
    jumpIf(['r0', '!=', 0], 'lost'),
  ];
}

const copy = (size: 'u16' | 'u32', ...at: readonly number[]): readonly Line[] =>
  at.flatMap((field) => [load(size, 'r2', ['r7', WAY.header + field]), store(size, ['r10', OUT + field], 'r2')]);

/** r0 gets a bit when this host gets segments of the peer whole. The time is in NOW. */
const said = (bit: number): readonly Line[] => [
  load('u64', 'r1', ['r7', WAY.whole]),
  load('u64', 'r2', ['r10', NOW]),
  loadWide('r3', BigInt(COUNTS - BRIEF)),
  add('r2', 'r3'),
  jumpIf(['r1', '<=', 'r2'], 'cut'),
  or('r0', bit),
  label('cut'),
];

/** r1 becomes the length of the packet with so many bytes in front of it, in network order. */
const longer = (bytes: number): readonly Line[] => [move('r1', 'r8'), add('r1', bytes), swap16('r1')];

/**
 * RFC 791. It may be cut on its way (no DF), so that it has a number: a router with a smaller MTU does what the process does when the kernel tells it of one. The checksum
 * goes on from the sum of what is the same in all. UDP has none (RFC 768): the inner one, made for every segment, vouches for the payload.
 */
const header4: readonly Line[] = [
  call(bpfProgramH.BPF_FUNC_get_prandom_u32),
  and('r0', 0xffff & ~WHOLE4),
  ...said(WHOLE4),
  load('u32', 'r3', ['r7', WAY.sum]),
  ...longer(28),
  add('r3', 'r1'),
  add('r3', 'r0'),
  ...[1, 2].flatMap(() => [move('r2', 'r3'), shiftRight('r2', 16), and('r3', 0xffff), add('r3', 'r2')]),
  xor('r3', 0xffff),
  store('u16', ['r10', OUT + 2], 'r1'),
  store('u16', ['r10', OUT + 4], 'r0'),
  store('u16', ['r10', OUT + 6], 0),
  store('u16', ['r10', OUT + 10], 'r3'),
  ...copy('u16', 0, 8),
  ...copy('u32', 12, 16, 20),
  ...longer(UDP_SIZE),
  store('u16', ['r10', OUT + 24], 'r1'),
  store('u16', ['r10', OUT + 26], 0),
];

/** RFC 8200; without a checksum of UDP, as RFC 6935 allows tunnels. */
const header6: readonly Line[] = [
  ...longer(UDP_SIZE),
  store('u16', ['r10', OUT + 4], 'r1'),
  store('u16', ['r10', OUT + 44], 'r1'),
  store('u16', ['r10', OUT + 46], 0),
  load('u32', 'r0', ['r7', WAY.header]),
  and('r0', ~WHOLE6),
  ...said(WHOLE6),
  store('u32', ['r10', OUT], 'r0'),
  ...copy('u16', 6),
  ...copy('u32', 8, 12, 16, 20, 24, 28, 32, 36, 40),
];
