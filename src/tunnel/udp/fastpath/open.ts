/** The programs of the fast path, loaded and attached, and their maps. Each is a file of this process: the kernel takes all away with it. */
import { endianness } from 'node:os';
import { familyOf, ipBytes, type IpAddress } from '../../../base/ip.ts';
import { createMap, linkToDevice, loadProgram, MapReader, MapWriter } from '../../../sys/bpf.ts';
import { bpfH } from '../../../sys/constants-bpf.ts';
import { indexOf, mtuOf } from '../../../sys/device.ts';
import { driverOf } from '../../../sys/ethtool.ts';
import type { Fd } from '../../../sys/fd.ts';
import { assemble, type Line } from '../../../wire/bpf/assemble.ts';
import { bpfTcxH } from '../../../wire/bpf/constants.ts';
import type { Counters } from '../counters.ts';
import { arrive } from './arrive.ts';
import { ADMITTED, COUNT, COUNTS, INNER, memory, OUTER, PEER, STATE, WAY } from './layout.ts';
import { leave } from './leave.ts';
import { learn } from './learn.ts';
import type { Site } from './parts.ts';
import { PeerMaps } from './peer-maps.ts';

/** Elements of a trie, which takes memory for those that are there. */
const PREFIXES = 1 << 20;

export interface Carried {
  readonly left: { readonly packets: number; readonly bytes: number };
  readonly arrived: { readonly packets: number; readonly bytes: number };
}

export interface FastPathOptions {
  readonly device: string;
  readonly local: { readonly address: IpAddress; readonly port: number };
  /** Any of the tunnel's namespace. */
  readonly socket: Fd;
  /** Most peers. */
  readonly capacity: number;
  readonly counters: Counters;
}

export interface Open {
  /** Index. */
  readonly underlay: number;
  readonly peers: PeerMaps;
  readonly admit: (slot: number) => void;
  /** Tells the programs how the underlay is now. */
  readonly follow: () => void;
  readonly carried: (slot: number) => Carried;
  readonly stack: DisposableStack;
}

/**
 * @param underlay the Ethernet device that has the local address
 * @throws invalid before Linux 6.6, forbidden without CAP_BPF and CAP_NET_ADMIN, exhausted without memory
 */
export function openFastPath(
  { device, local, socket, capacity }: FastPathOptions,
  underlay: { readonly name: string; readonly index: number },
): Open {
  if (endianness() !== 'LE') throw new Error('this machine is big-endian');
  using stack = new DisposableStack();
  const array = (name: string, value: number): Fd =>
    stack.use(createMap({ name, type: bpfH.BPF_MAP_TYPE_ARRAY, key: 4, value, entries: capacity, flags: 0 }));
  const maps = {
    inner: stack.use(
      createMap({
        name: 'moor_inner',
        type: bpfH.BPF_MAP_TYPE_LPM_TRIE,
        key: INNER.size,
        value: 4,
        entries: PREFIXES,
        flags: bpfH.BPF_F_NO_PREALLOC,
      }),
    ),
    outer: stack.use(
      createMap({
        name: 'moor_outer',
        type: bpfH.BPF_MAP_TYPE_HASH,
        key: OUTER.size,
        value: PEER.size,
        entries: capacity,
        flags: bpfH.BPF_F_NO_PREALLOC,
      }),
    ),
    ways: array('moor_ways', WAY.size),
    admitted: array('moor_admitted', ADMITTED.size),
    counts: array('moor_counts', COUNT.size),
    state: stack.use(
      createMap({ name: 'moor_state', type: bpfH.BPF_MAP_TYPE_ARRAY, key: 4, value: STATE.size, entries: 1, flags: 0 }),
    ),
  };
  const tun = { name: device, index: indexOf(socket, device) };
  const site: Site = {
    maps: {
      inner: maps.inner.number,
      outer: maps.outer.number,
      ways: maps.ways.number,
      admitted: maps.admitted.number,
      state: maps.state.number,
      counts: maps.counts.number,
    },
    v6: familyOf(local.address) === 6,
    local: ipBytes(local.address),
    port: local.port,
    tun: tun.index,
    underlay: underlay.index,
    passes: driverOf(socket, underlay.name) === 'veth',
  };
  const attach = (
    name: string,
    lines: readonly Line[],
    to: { readonly name: string; readonly index: number; readonly at: number },
  ): void => {
    using program = loadProgram({ name, type: bpfH.BPF_PROG_TYPE_SCHED_CLS, attach: to.at, code: assemble(lines) });
    stack.use(linkToDevice(program, to, to.at));
  };
  attach('moor_arrive', arrive(site), { ...underlay, at: bpfTcxH.BPF_TCX_INGRESS });
  attach('moor_leave', leave(site), { ...tun, at: bpfTcxH.BPF_TCX_EGRESS });
  attach('moor_learn', learn(site), { ...underlay, at: bpfTcxH.BPF_TCX_EGRESS });
  const peers = new PeerMaps(maps);
  const follow = stateOf(maps.state, () => mtuOf(socket, underlay.name));
  follow();
  return {
    underlay: underlay.index,
    peers,
    admit: admission(maps.admitted),
    follow,
    carried: counted(maps.counts),
    stack: stack.move(),
  };
}

/** Writes how the underlay is now; what has come whole is to be seen anew. */
function stateOf(map: Fd, mtu: () => number): () => void {
  const [key, value] = [memory(4), memory(STATE.size)];
  const writer = new MapWriter(map, { key, value });
  return () => {
    new DataView(value.buffer).setUint32(STATE.mtu, mtu(), true);
    writer.update();
  };
}

function admission(map: Fd): (slot: number) => void {
  const [key, value] = [memory(4), memory(ADMITTED.size)];
  const writer = new MapWriter(map, { key, value });
  return (slot) => {
    new DataView(key.buffer).setUint32(0, slot, true);
    // CLOCK_MONOTONIC, as the programs have it.
    new DataView(value.buffer).setBigUint64(0, process.hrtime.bigint() + BigInt(COUNTS), true);
    writer.update();
  };
}

function counted(map: Fd): (slot: number) => Carried {
  const [key, value] = [memory(4), memory(COUNT.size)];
  const reader = new MapReader(map, { key, value });
  return (slot) => {
    new DataView(key.buffer).setUint32(0, slot, true);
    reader.read();
    const view = new DataView(value.buffer);
    const at = (offset: number): number => Number(view.getBigUint64(offset, true));
    return {
      left: { packets: at(COUNT.leftPackets), bytes: at(COUNT.leftBytes) },
      arrived: { packets: at(COUNT.arrivedPackets), bytes: at(COUNT.arrivedBytes) },
    };
  };
}
