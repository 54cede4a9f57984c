/**
 * At the underlay device, where datagrams of the tunnel's socket leave the host: how they look there is how they look for COUNTS nanoseconds. So routes, neighbours,
 * firewalls, IPsec and translation are the host's: what they stop, change or send by another device is not seen here, and nothing is learned of it.
 */
import { add, call, jumpIf, jumpIf32, type Line, load, move, store, loadWide } from '../../../wire/bpf/assemble.ts';
import { bpfProgramH, skBuff, sock } from '../../../wire/bpf/constants.ts';
import { COUNTS, ETHERNET, ipSize, PEER, UDP as UDP_SIZE, WAY } from './layout.ts';
import {
  ADDRESS,
  address,
  IN,
  loadBytes,
  lookUp,
  networkOrder,
  onlyByte,
  onlyProtocol,
  onlyWhole,
  onlyWord,
  out,
  PLAIN4,
  type Site,
  SLOT,
  UDP,
} from './parts.ts';

/** Where the outer IP header lies. */
const IP = IN + 16;

/** r7: the way, r9: now. */
export const learn = ({ maps, v6, port }: Site): readonly Line[] => [
  move('r6', 'r1'),
  // Of what is only passed on, and of what our own program sends, there is no socket, or another one.
  load('u64', 'r1', ['r6', skBuff.sk]),
  jumpIf(['r1', '==', 0], 'out'),
  call(bpfProgramH.BPF_FUNC_sk_fullsock),
  jumpIf(['r0', '==', 0], 'out'),
  load('u32', 'r1', ['r0', sock.src_port]),
  jumpIf32(['r1', '!=', port], 'out'),
  load('u32', 'r1', ['r0', sock.protocol]),
  jumpIf32(['r1', '!=', UDP], 'out'),
  ...onlyProtocol(v6),
  ...loadBytes(0, IP - ETHERNET, ETHERNET + ipSize(v6) + UDP_SIZE),
  ...(v6 ? onlyByte(IP + 6, UDP) : [...onlyByte(IP, PLAIN4), ...onlyByte(IP + 9, UDP), ...onlyWhole(IP)]),
  ...onlyWord(IP + ipSize(v6), networkOrder(port)),
  ...address(v6, IP + (v6 ? 24 : 16)),
  ...lookUp(maps.outer, ADDRESS),
  jumpIf(['r0', '==', 0], 'out'),
  load('u16', 'r1', ['r0', PEER.port]),
  load('u16', 'r2', ['r10', IP + ipSize(v6) + 2]),
  jumpIf(['r1', '!=', 'r2'], 'out'),
  load('u32', 'r1', ['r0', PEER.slot]),
  store('u32', ['r10', SLOT], 'r1'),
  ...lookUp(maps.ways, SLOT),
  jumpIf(['r0', '==', 0], 'out'),
  move('r7', 'r0'),
  call(bpfProgramH.BPF_FUNC_ktime_get_ns),
  move('r9', 'r0'),
  // Not for every packet: other processors read it.
  loadWide('r2', BigInt(COUNTS / 2)),
  add('r2', 'r9'),
  load('u64', 'r1', ['r7', WAY.until]),
  jumpIf(['r1', '>', 'r2'], 'out'),
  ...copied('u16', IP - ETHERNET, { to: WAY.mac, length: ETHERNET }),
  ...copied('u32', IP, { to: WAY.header, length: ipSize(v6) + UDP_SIZE }),
  ...(v6 ? [] : sum),
  loadWide('r1', BigInt(COUNTS)),
  add('r9', 'r1'),
  store('u64', ['r7', WAY.until], 'r9'),
  ...out,
];

const STEP = { u16: 2, u32: 4 } as const;

function copied(size: 'u16' | 'u32', from: number, { to, length }: { readonly to: number; readonly length: number }): Line[] {
  const lines: Line[] = [];
  for (let i = 0; i < length; i += STEP[size]) lines.push(load(size, 'r1', ['r10', from + i]), store(size, ['r7', to + i], 'r1'));
  return lines;
}

/** All words of the header but length, number, flags and the checksum itself. */
const sum: readonly Line[] = [
  move('r2', 0),
  ...[0, 8, 12, 14, 16, 18].flatMap((at) => [load('u16', 'r1', ['r10', IP + at]), add('r2', 'r1')]),
  store('u32', ['r7', WAY.sum], 'r2'),
];
