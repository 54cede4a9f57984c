/**
 * Random and mutated datagrams for a tunnel, a portion for each line on standard input, which is their number. Runs where a peer and a stranger have
 * their addresses.
 *
 *     fuzz.child.ts SEED TO PORT PEER STRANGER PACKETS    prints, for each portion, how many went out from the peer and from the stranger
 *
 * PACKETS are what is mutated: in hex, joined by commas.
 */
import { createInterface } from 'node:readline';
import { parseIp } from '../../base/ip.ts';
import { socketH } from '../../sys/constants.ts';
import { Fd } from '../../sys/fd.ts';
import { encodeAddress, setOption } from '../../sys/inet.ts';
import { check, libc } from '../../sys/libc.ts';
import { udpH } from '../../sys/tun-queue.ts';
import { Arena, CONTROL, IOVEC, MMSGHDR, MSG } from './arena.ts';

const BATCH = 32;
/** <asm-generic/socket.h> */
const SO_NO_CHECK = 11;
/** Bytes: the longest datagram, or the longest message that the kernel cuts into several. */
const ROOM = 60_000;
/** Bytes of a random datagram: what a wire of 1500 carries. */
const LONGEST = 1472;

/** xorshift32 (Marsaglia, Journal of Statistical Software 8(14), 2003): the same for the same seed. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** @returns a whole number from 0 on, below a limit */
  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % limit;
  }
}

const [seed, to = '', port, peer = '', stranger = '', begin = ''] = process.argv.slice(2);
const random = new Random(Number(seed));
const bases = begin.split(',').map((text) => Buffer.from(text, 'hex'));
const arena = new Arena(BATCH * (MMSGHDR + IOVEC + CONTROL + ROOM) + 4 * 64);
const messages = arena.take(BATCH * MMSGHDR);
const iovecs = arena.take(BATCH * IOVEC);
const controls = arena.take(BATCH * CONTROL);
const rooms = arena.take(BATCH * ROOM);
for (let i = 0; i < BATCH; i++) {
  const header = messages + i * MMSGHDR;
  arena.pointer(header + MSG.iov * 4, iovecs + i * IOVEC);
  arena.words[(header >>> 2) + MSG.iovLength] = 1;
  const control = (controls + i * CONTROL) >>> 2;
  // cmsg_len of an u16.
  arena.words[control] = 18;
  arena.words[control + 2] = udpH.SOL_UDP;
  arena.words[control + 3] = udpH.UDP_SEGMENT;
}

/** @param bare its datagrams have no checksum, as those of a peer's kernel */
function open(from: string, bare = false): Fd {
  const socket = new Fd(check(libc.socket(socketH.AF_INET, socketH.SOCK_DGRAM | socketH.SOCK_CLOEXEC, 0), 'socket'), from);
  setOption(socket, socketH.SOL_SOCKET, { name: socketH.SO_SNDBUFFORCE, value: 16 << 20 });
  if (bare) setOption(socket, socketH.SOL_SOCKET, { name: SO_NO_CHECK, value: 1 });
  for (const [call, address] of [
    [libc.bind, encodeAddress({ address: parseIp(from), port: 0 })],
    [libc.connect, encodeAddress({ address: parseIp(to), port: Number(port) })],
  ] as const)
    check(call(socket.number, address, address.length), from);
  return socket;
}
const sockets = { peer: open(peer), bare: open(peer, true), stranger: open(stranger) };

/** Writes one datagram. @returns its length */
function datagram(at: number): number {
  const { bytes } = arena;
  if (random.below(2) === 0) {
    const length = random.below(8) === 0 ? random.below(LONGEST) : random.below(96);
    for (let i = 0; i < length; i++) bytes[at + i] = random.below(256);
    // Most of what is random would end at the first look.
    if (length > 0 && random.below(2) === 0) bytes[at] = random.below(2) === 0 ? 0x40 | random.below(16) : 0x60;
    return length;
  }
  const base = bases[random.below(bases.length)] ?? bases[0];
  if (base === undefined) return 0;
  bytes.set(base, at);
  for (let i = random.below(4); i > 0; i--) bytes[at + random.below(base.length)] = random.below(256);
  const change = random.below(16);
  return change === 0 ? random.below(base.length) : change === 1 ? base.length + random.below(32) : base.length;
}

/** Fills a message: one datagram, or, unless it is to be `alone`, several that leave as one and arrive as the kernel likes. @returns datagrams in it */
function fill(i: number, alone: boolean): number {
  const at = rooms + i * ROOM;
  const header = (messages + i * MMSGHDR) >>> 2;
  let length = datagram(at);
  let count = 1;
  arena.words[header + MSG.controlLength] = 0;
  if (length > 0 && random.below(16) === 0 && !alone) {
    const step = length;
    count = 2 + random.below(Math.min(60, Math.floor(ROOM / 2 / step)));
    for (let k = 1; k < count; k++) {
      // Mutated anew, or as the one before: that one is put together with it.
      if (random.below(2) === 0) arena.bytes.copyWithin(at + k * step, at + (k - 1) * step, at + k * step);
      else datagram(at + k * step);
    }
    // The last may be shorter.
    length = count * step - random.below(step);
    arena.view.setUint16(controls + i * CONTROL + 16, step, true);
    arena.pointer((header + MSG.control) * 4, controls + i * CONTROL);
    arena.words[header + MSG.controlLength] = CONTROL;
  }
  arena.iovec(iovecs + i * IOVEC, at, length);
  return count;
}

/** @returns how many went out */
function portion(from: Fd, wanted: number): number {
  let sent = 0;
  while (sent < wanted) {
    const counts = Array.from({ length: BATCH }, (_, i) => fill(i, from === sockets.bare));
    for (let done = 0; done < BATCH; ) {
      const went = libc.sendmmsg(from.number, arena.base + messages + done * MMSGHDR, BATCH - done, 0);
      check(went, 'sendmmsg');
      for (const count of counts.slice(done, done + went)) sent += count;
      done += went;
    }
  }
  return sent;
}

for await (const line of createInterface({ input: process.stdin })) {
  const wanted = Number(line);
  const strange = random.below(8) === 0;
  // The kernel cuts nothing into datagrams without a checksum.
  const sent = portion(strange ? sockets.stranger : random.below(3) === 0 ? sockets.bare : sockets.peer, wanted);
  process.stdout.write(`${strange ? 0 : sent} ${strange ? sent : 0}\n`);
}
