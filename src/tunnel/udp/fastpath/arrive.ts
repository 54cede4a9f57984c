/**
 * At the underlay device, where datagrams come in: one that a `leave` of a peer has made (it has no UDP checksum) loses its outer headers here, and comes out of the TUN device.
 * Large segments do, and what belongs to them; where a wire has cut all to its MTU, packets with payload go to the process, which puts them together again.
 */
import {
  add,
  and,
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
  shiftRight,
  store,
  subtract,
  swap16,
} from '../../../wire/bpf/assemble.ts';
import { bpfProgramH, bpfTcxH, skBuff } from '../../../wire/bpf/constants.ts';
import { BRIEF, COUNTS, ETHERNET, ipSize, overhead, PEER, STATE, WAY, WHOLE4, WHOLE6 } from './layout.ts';
import {
  ADDRESS,
  address,
  address4,
  address6,
  ARRIVED,
  count,
  FLAGS,
  headerLength,
  HOW,
  IN,
  loadBytes,
  lookUp,
  networkOrder,
  NOW,
  onlyByte,
  onlyCarried,
  onlyProtocol,
  onlyWhole,
  onlyWord,
  out,
  owner,
  PLAIN4,
  PROTOCOL,
  type Site,
  SLOT,
  state,
  TCP,
  UDP,
} from './parts.ts';

/** Where the outer IP header lies. */
const IP = IN + 16;
/** Bytes of the inner packet that are looked at in any case: IPv4 and TCP without options, or IPv6. */
const FIRST = 40;
/** Bytes of an IPv6 packet whose TCP header has all the options that it may; a ping as it usually is has 104 at most. */
const LONGEST_ACK = 104;
/** A TCP segment that only acknowledges. */
const ACK = 0x10;

/** r8: bytes of the inner packet, r7: of its headers, r9: slot of the peer. */
export const arrive = ({ maps, v6, local, port, tun }: Site): readonly Line[] => {
  const before = ETHERNET + overhead(v6);
  const udp = IP + ipSize(v6);
  const inner = IP + overhead(v6);
  const { BPF_F_ADJ_ROOM_FIXED_GSO: fixed } = bpfProgramH;
  return [
    move('r6', 'r1'),
    // Where nothing comes whole, packets with payload are done with here, be they the tunnel's or not.
    load('u32', 'r1', ['r6', skBuff.gso_size]),
    jumpIf(['r1', '!=', 0], 'look'),
    load('u32', 'r1', ['r6', skBuff.len]),
    jumpIf(['r1', '<=', before + LONGEST_ACK], 'look'),
    ...state(maps),
    load('u32', 'r1', ['r0', STATE.whole]),
    jumpIf(['r1', '==', 0], 'out'),
    label('look'),
    // PACKET_HOST
    load('u32', 'r1', ['r6', skBuff.pkt_type]),
    jumpIf32(['r1', '!=', 0], 'out'),
    ...onlyProtocol(v6),
    ...loadBytes(0, IP - ETHERNET, before + FIRST),
    ...(v6 ? onlyByte(IP + 6, UDP) : [...onlyByte(IP, PLAIN4), ...onlyByte(IP + 9, UDP), ...onlyWhole(IP)]),
    ...onlyWord(udp + 2, networkOrder(port)),
    ...onlyWord(udp + 6, 0),
    ...isLocal(local, IP + (v6 ? 24 : 16)),
    ...address(v6, IP + (v6 ? 8 : 12)),
    ...lookUp(maps.outer, ADDRESS),
    jumpIf(['r0', '==', 0], 'out'),
    load('u32', 'r9', ['r0', PEER.slot]),
    store('u32', ['r10', SLOT], 'r9'),
    ...lookUp(maps.admitted, SLOT),
    jumpIf(['r0', '==', 0], 'out'),
    load('u64', 'r8', ['r0', 0]),
    call(bpfProgramH.BPF_FUNC_ktime_get_ns),
    jumpIf(['r8', '<=', 'r0'], 'out'),
    store('u64', ['r10', NOW], 'r0'),
    load('u32', 'r8', ['r6', skBuff.len]),
    subtract('r8', before),
    load('u8', 'r1', ['r10', inner]),
    jumpIf32(['r1', '==', PLAIN4], 'four'),
    shiftRight('r1', 4),
    jumpIf32(['r1', '==', 6], 'six'),
    jump('out'),

    label('four'),
    ...onlyCarried(false, inner + 9),
    store('u64', ['r10', PROTOCOL], 'r1'),
    ...onlyWhole(inner),
    load('u16', 'r1', ['r10', inner + 2]),
    swap16('r1'),
    jumpIf(['r1', '!=', 'r8'], 'out'),
    ...address4(inner + 12),
    load('u8', 'r7', ['r10', inner + 32]),
    load('u8', 'r1', ['r10', inner + 33]),
    store('u64', ['r10', FLAGS], 'r1'),
    store('u64', ['r10', HOW], v6 ? fixed | bpfTcxH.BPF_F_ADJ_ROOM_DECAP_L3_IPV4 : fixed),
    move('r1', 20),
    jump('owned'),

    label('six'),
    ...onlyCarried(true, inner + 6),
    store('u64', ['r10', PROTOCOL], 'r1'),
    load('u16', 'r1', ['r10', inner + 4]),
    swap16('r1'),
    add('r1', 40),
    jumpIf(['r1', '!=', 'r8'], 'out'),
    ...address6(inner + 8),
    ...loadBytes(before + 52, FLAGS, 2),
    load('u8', 'r7', ['r10', FLAGS]),
    load('u8', 'r1', ['r10', FLAGS + 1]),
    store('u64', ['r10', FLAGS], 'r1'),
    store('u64', ['r10', HOW], v6 ? fixed : fixed | bpfTcxH.BPF_F_ADJ_ROOM_DECAP_L3_IPV6),
    move('r1', 40),

    label('owned'),
    ...headerLength('r7', 'r1'),
    ...owner(maps),
    load('u32', 'r1', ['r0', 0]),
    jumpIf(['r1', '!=', 'r9'], 'out'),
    ...lookUp(maps.ways, SLOT),
    jumpIf(['r0', '==', 0], 'out'),
    load('u64', 'r3', ['r10', NOW]),
    // What the peer says of this host's.
    ...(v6 ? [load('u32', 'r1', ['r10', IP]), and('r1', WHOLE6)] : [load('u16', 'r1', ['r10', IP + 4]), and('r1', WHOLE4)]),
    jumpIf(['r1', '==', 0], 'told'),
    loadWide('r1', BigInt(BRIEF)),
    add('r1', 'r3'),
    store('u64', ['r0', WAY.plain], 'r1'),
    label('told'),
    load('u32', 'r1', ['r6', skBuff.gso_size]),
    jumpIf(['r1', '==', 0], 'single'),
    loadWide('r1', BigInt(COUNTS)),
    add('r3', 'r1'),
    store('u64', ['r0', WAY.whole], 'r3'),
    ...state(maps),
    store('u32', ['r0', STATE.whole], 1),
    jump('take'),
    label('single'),
    load('u64', 'r1', ['r10', PROTOCOL]),
    jumpIf(['r1', '!=', TCP], 'take'),
    load('u64', 'r1', ['r0', WAY.whole]),
    jumpIf(['r1', '>', 'r3'], 'take'),
    jumpIf(['r7', '!=', 'r8'], 'out'),
    load('u64', 'r1', ['r10', FLAGS]),
    jumpIf(['r1', '!=', ACK], 'out'),

    label('take'),
    move('r1', 'r6'),
    move('r2', -overhead(v6)),
    move('r3', bpfProgramH.BPF_ADJ_ROOM_MAC),
    load('u64', 'r4', ['r10', HOW]),
    call(bpfProgramH.BPF_FUNC_skb_adjust_room),
    jumpIf(['r0', '!=', 0], 'out'),
    ...count(maps, 'r7', ARRIVED),
    move('r1', tun),
    move('r2', bpfProgramH.BPF_F_INGRESS),
    call(bpfProgramH.BPF_FUNC_redirect),
    exit(),
    ...out,
  ];
};

/** Out, unless the datagram is for the tunnel's address. */
function isLocal(local: Uint8Array, at: number): readonly Line[] {
  const view = new DataView(local.buffer, local.byteOffset, local.byteLength);
  const lines: Line[] = [];
  for (let i = 0; i < local.length; i += 4)
    lines.push(load('u32', 'r1', ['r10', at + i]), jumpIf32(['r1', '!=', view.getInt32(i, true)], 'out'));
  return lines;
}
