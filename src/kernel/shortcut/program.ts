/**
 * The programs of the shortcut. At connect(2) the address that a program of the host asks for, 127.0.0.1 and a published port, is replaced
 * by the container's, so that the connection is a direct one; and what was asked for is noted at the socket, for getpeername(2) and
 * getsockname(2), which go on to say what they say of a translated connection.
 *
 * They are asked for every socket of the machine. What is not TCP to a loopback address is done after four instructions; what is not in the
 * daemon's network namespace after one question more.
 */
import {
  and,
  assemble,
  call,
  exit,
  jump,
  jumpIf,
  jumpIf32,
  label,
  type Line,
  load,
  loadMap,
  loadWide,
  move,
  add,
  or,
  type Register,
  store,
} from '../../wire/bpf/assemble.ts';
import { bpfProgramH, sock, sockAddr } from '../../wire/bpf/constants.ts';
import { ADDRESS, KEY, KEY_BITS, NOTE, SAME_PORT, TARGET } from './layout.ts';

const {
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_sk_storage_get,
  BPF_FUNC_get_netns_cookie,
  BPF_SK_STORAGE_GET_F_CREATE,
  BPF_CGROUP_INET4_CONNECT,
  BPF_CGROUP_INET6_CONNECT,
  BPF_CGROUP_INET4_GETPEERNAME,
  BPF_CGROUP_INET6_GETPEERNAME,
  BPF_CGROUP_INET4_GETSOCKNAME,
  BPF_CGROUP_INET6_GETSOCKNAME,
} = bpfProgramH;

/** <linux/net.h>, <linux/in.h> */
const SOCK_STREAM = 1;
const IPPROTO_TCP = 6;

/** Words of addresses as this (little-endian) machine loads them from where they lie in network order. */
const LOCALHOST4 = 0x0100007f;
const LAST_OF_LOCALHOST6 = 0x01000000;
/** The third word of ::ffff:0:0/96, as a signed number. */
const MAPPED = 0xffff0000 | 0;
/** First byte of an IPv4 address, and what it is in 127.0.0.0/8. */
const FIRST_BYTE = 0xff;
const LOOPBACK = 127;

/** What a program may change goes on in any case: 0 would refuse the connection. */
const GO_ON = 1;
/** Where the key is built: on the stack, below r10. */
const STACK = -KEY.size;
const WORDS = [0, 1, 2, 3] as const;

export interface Maps {
  /** Descriptors. */
  readonly targets: number;
  readonly notes: number;
  /** SO_NETNS_COOKIE of the namespace whose sockets are concerned. */
  readonly cookie: bigint;
}

export interface Program {
  readonly name: string;
  /** BPF_CGROUP_* */
  readonly attach: number;
  readonly code: Uint8Array<ArrayBuffer>;
}

export const programs = (maps: Maps): readonly Program[] => [
  { name: 'moor_connect4', attach: BPF_CGROUP_INET4_CONNECT, code: assemble(connect4(maps)) },
  { name: 'moor_connect6', attach: BPF_CGROUP_INET6_CONNECT, code: assemble(connect6(maps)) },
  { name: 'moor_peer4', attach: BPF_CGROUP_INET4_GETPEERNAME, code: assemble(peer4(maps)) },
  { name: 'moor_peer6', attach: BPF_CGROUP_INET6_GETPEERNAME, code: assemble(peer6(maps)) },
  { name: 'moor_name4', attach: BPF_CGROUP_INET4_GETSOCKNAME, code: assemble(name4(maps)) },
  { name: 'moor_name6', attach: BPF_CGROUP_INET6_GETSOCKNAME, code: assemble(name6(maps)) },
];

/** r6 stays the argument of the program, `struct bpf_sock_addr`. */
const onlyTcp: readonly Line[] = [
  move('r6', 'r1'),
  load('u32', 'r1', ['r6', sockAddr.type]),
  jumpIf32(['r1', '!=', SOCK_STREAM], 'out'),
  load('u32', 'r1', ['r6', sockAddr.protocol]),
  jumpIf32(['r1', '!=', IPPROTO_TCP], 'out'),
];

/**
 * Sockets of our namespace that are free to leave by any device and from any address; r8 becomes the socket. Who is bound to 127.0.0.1, or to
 * `lo`, would not get to the container: translation does that.
 */
const onlyOurs = ({ cookie }: Maps, bound: readonly number[]): readonly Line[] => [
  move('r1', 'r6'),
  call(BPF_FUNC_get_netns_cookie),
  loadWide('r1', cookie),
  jumpIf(['r0', '!=', 'r1'], 'out'),
  load('u64', 'r8', ['r6', sockAddr.sk]),
  ...[sock.bound_dev_if, ...bound].flatMap((field) => [load('u32', 'r1', ['r8', field]), jumpIf32(['r1', '!=', 0], 'out')]),
  load('u32', 'r9', ['r6', sockAddr.user_port]),
];

/**
 * r0 becomes what is published there; r7 is the address that is asked for. The key is the one of any address until it is not found: that is how most
 * ports are published, and one that is published so is published at no other address.
 */
const find = (maps: Maps): readonly Line[] => [
  store('u32', ['r10', STACK + KEY.bits], KEY_BITS),
  store('u16', ['r10', STACK + KEY.port], 'r9'),
  // IPv6 has one loopback address, which is its own any address.
  jumpIf32(['r7', '==', LAST_OF_LOCALHOST6], 'exact'),
  store('u32', ['r10', STACK + KEY.address], 0),
  ...lookUp(maps),
  jumpIf(['r0', '!=', 0], 'found'),
  label('exact'),
  store('u32', ['r10', STACK + KEY.address], 'r7'),
  ...lookUp(maps),
  jumpIf(['r0', '==', 0], 'out'),
  label('found'),
];

const lookUp = ({ targets }: Maps): readonly Line[] => [
  loadMap('r1', targets),
  move('r2', 'r10'),
  add('r2', STACK),
  call(BPF_FUNC_map_lookup_elem),
];

/**
 * Notes at the socket what it asked for and what it gets. r7 becomes the target, r2 its port. Without memory for that the address stays as
 * it is, and the connection is translated.
 * @param asked writes the address that was asked for from r0 on
 */
const note = ({ notes }: Maps, asked: readonly Line[]): readonly Line[] => [
  move('r7', 'r0'),
  loadMap('r1', notes),
  move('r2', 'r8'),
  move('r3', 0),
  move('r4', BPF_SK_STORAGE_GET_F_CREATE),
  call(BPF_FUNC_sk_storage_get),
  jumpIf(['r0', '==', 0], 'out'),
  ...asked,
  store('u32', ['r0', NOTE.peerPort], 'r9'),
  // A range keeps its numbers.
  load('u16', 'r2', ['r7', TARGET.port]),
  jumpIf32(['r2', '!=', SAME_PORT], 'port'),
  move('r2', 'r9'),
  label('port'),
  store('u32', ['r0', NOTE.targetPort], 'r2'),
  ...WORDS.flatMap((word) => [
    load('u32', 'r1', ['r7', TARGET.address + 4 * word]),
    store('u32', ['r0', NOTE.target + 4 * word], 'r1'),
  ]),
  store('u32', ['r6', sockAddr.user_port], 'r2'),
];

const goOn: readonly Line[] = [label('out'), move('r0', GO_ON), exit()];

const connect4 = (maps: Maps): readonly Line[] => [
  ...onlyTcp,
  load('u32', 'r7', ['r6', sockAddr.user_ip4]),
  move('r1', 'r7'),
  and('r1', FIRST_BYTE),
  jumpIf32(['r1', '!=', LOOPBACK], 'out'),
  ...onlyOurs(maps, [sock.src_ip4]),
  ...find(maps),
  ...note(maps, [load('u32', 'r1', ['r6', sockAddr.user_ip4]), ...mapped('r1')]),
  load('u32', 'r1', ['r7', TARGET.address + ADDRESS.last]),
  store('u32', ['r6', sockAddr.user_ip4], 'r1'),
  ...goOn,
];

/** An IPv4 address, noted as IPv6 writes it. */
const mapped = (address: Register): readonly Line[] => [
  store('u32', ['r0', NOTE.peer], 0),
  store('u32', ['r0', NOTE.peer + 4], 0),
  store('u32', ['r0', NOTE.peer + 8], MAPPED),
  store('u32', ['r0', NOTE.peer + ADDRESS.last], address),
];

/** [::1] is published as the address 0.0.0.1 (layout.ts); ::ffff:127.0.0.1 is what IPv6 sockets call 127.0.0.1. */
const connect6 = (maps: Maps): readonly Line[] => [
  ...onlyTcp,
  load('u32', 'r1', ['r6', sockAddr.user_ip6]),
  load('u32', 'r2', ['r6', sockAddr.user_ip6 + 4]),
  or('r1', 'r2'),
  jumpIf32(['r1', '!=', 0], 'out'),
  load('u32', 'r7', ['r6', sockAddr.user_ip6 + ADDRESS.last]),
  load('u32', 'r1', ['r6', sockAddr.user_ip6 + 8]),
  jumpIf32(['r1', '==', MAPPED], 'mapped'),
  jumpIf32(['r1', '!=', 0], 'out'),
  jumpIf32(['r7', '==', LAST_OF_LOCALHOST6], 'loopback'),
  jump('out'),
  label('mapped'),
  move('r1', 'r7'),
  and('r1', FIRST_BYTE),
  jumpIf32(['r1', '!=', LOOPBACK], 'out'),
  label('loopback'),
  ...onlyOurs(
    maps,
    WORDS.map((word) => sock.src_ip6 + 4 * word),
  ),
  ...find(maps),
  ...note(
    maps,
    WORDS.flatMap((word) => [
      load('u32', 'r1', ['r6', sockAddr.user_ip6 + 4 * word]),
      store('u32', ['r0', NOTE.peer + 4 * word], 'r1'),
    ]),
  ),
  ...WORDS.flatMap((word) => [
    load('u32', 'r1', ['r7', TARGET.address + 4 * word]),
    store('u32', ['r6', sockAddr.user_ip6 + 4 * word], 'r1'),
  ]),
  ...goOn,
];

/** r0 becomes the note of a socket that has one; r8 the socket. */
const findNote = ({ notes }: Maps): readonly Line[] => [
  move('r6', 'r1'),
  load('u64', 'r8', ['r6', sockAddr.sk]),
  loadMap('r1', notes),
  move('r2', 'r8'),
  move('r3', 0),
  move('r4', 0),
  call(BPF_FUNC_sk_storage_get),
  jumpIf(['r0', '==', 0], 'out'),
  // A socket can be connected anew, to somebody else.
  load('u16', 'r1', ['r8', sock.dst_port]),
  load('u32', 'r2', ['r0', NOTE.targetPort]),
  jumpIf32(['r1', '!=', 'r2'], 'out'),
];

const sameTarget4: readonly Line[] = [
  load('u32', 'r1', ['r8', sock.dst_ip4]),
  load('u32', 'r2', ['r0', NOTE.target + ADDRESS.last]),
  jumpIf32(['r1', '!=', 'r2'], 'out'),
];

const sameTarget6: readonly Line[] = WORDS.flatMap((word) => [
  load('u32', 'r1', ['r8', sock.dst_ip6 + 4 * word]),
  load('u32', 'r2', ['r0', NOTE.target + 4 * word]),
  jumpIf32(['r1', '!=', 'r2'], 'out'),
]);

const peer4 = (maps: Maps): readonly Line[] => [
  ...findNote(maps),
  ...sameTarget4,
  load('u32', 'r1', ['r0', NOTE.peer + ADDRESS.last]),
  store('u32', ['r6', sockAddr.user_ip4], 'r1'),
  load('u32', 'r1', ['r0', NOTE.peerPort]),
  store('u32', ['r6', sockAddr.user_port], 'r1'),
  ...goOn,
];

const peer6 = (maps: Maps): readonly Line[] => [
  ...findNote(maps),
  ...sameTarget6,
  ...WORDS.flatMap((word) => [
    load('u32', 'r1', ['r0', NOTE.peer + 4 * word]),
    store('u32', ['r6', sockAddr.user_ip6 + 4 * word], 'r1'),
  ]),
  load('u32', 'r1', ['r0', NOTE.peerPort]),
  store('u32', ['r6', sockAddr.user_port], 'r1'),
  ...goOn,
];

/** A connection to 127.0.0.0/8 comes from 127.0.0.1, one to ::1 from ::1. */
const name4 = (maps: Maps): readonly Line[] => [
  ...findNote(maps),
  ...sameTarget4,
  move('r1', LOCALHOST4),
  store('u32', ['r6', sockAddr.user_ip4], 'r1'),
  ...goOn,
];

const name6 = (maps: Maps): readonly Line[] => [
  ...findNote(maps),
  ...sameTarget6,
  load('u32', 'r2', ['r0', NOTE.peer + 8]),
  move('r3', LAST_OF_LOCALHOST6),
  jumpIf32(['r2', '==', 0], 'loopback'),
  move('r3', LOCALHOST4),
  label('loopback'),
  move('r1', 0),
  store('u32', ['r6', sockAddr.user_ip6], 'r1'),
  store('u32', ['r6', sockAddr.user_ip6 + 4], 'r1'),
  store('u32', ['r6', sockAddr.user_ip6 + 8], 'r2'),
  store('u32', ['r6', sockAddr.user_ip6 + ADDRESS.last], 'r3'),
  ...goOn,
];
