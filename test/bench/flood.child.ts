/**
 * Small datagrams, as many a second as are asked for, and who counts them. Batches keep both ends from being what is measured; the receiving buffer holds
 * what arrives while its process waits for a CPU.
 *
 *     flood.child.ts serve PORT                         prints `ready`, and after each flood how many datagrams of it have come; for ever
 *     flood.child.ts send ADDRESS PORT BYTES RATE MS    so many bytes of payload, RATE a second, for MS milliseconds; prints how many
 */
import { parseIp } from '../../src/base/ip.ts';
import { socketH } from '../../src/sys/constants.ts';
import { Fd } from '../../src/sys/fd.ts';
import { connectTo, encodeAddress, setOption } from '../../src/sys/inet.ts';
import { addressOf, check, libc } from '../../src/sys/libc.ts';
import { pollReadable } from '../../src/sys/poll.ts';

/** Datagrams a system call. */
const BATCH = 64;
/** Bytes of a receiving buffer: tens of thousands of small datagrams. */
const BUFFER = 64 << 20;
/** Milliseconds of silence that end a flood. */
const SILENCE = 200;
/** Milliseconds between two bursts. */
const PACE = 0.2;
/** `struct mmsghdr` and `struct iovec`. <sys/socket.h> */
const HEADER = 64;
const IOVEC = 16;
const ROOM = 2048;

/** Headers of a batch of messages that all lie in the same place: what is in them is of no interest. */
function batchOf(size: number): { readonly address: number; readonly bytes: Uint8Array<ArrayBuffer> } {
  const bytes = new Uint8Array(new ArrayBuffer(BATCH * HEADER + IOVEC + ROOM));
  const view = new DataView(bytes.buffer);
  const address = addressOf(bytes);
  const iovec = BATCH * HEADER;
  view.setBigUint64(iovec, BigInt(address + iovec + IOVEC), true);
  view.setBigUint64(iovec + 8, BigInt(size), true);
  for (let i = 0; i < BATCH; i++) {
    view.setBigUint64(i * HEADER + 16, BigInt(address + iovec), true);
    view.setBigUint64(i * HEADER + 24, 1n, true);
  }
  return { address, bytes };
}

function serve(port: number): never {
  const family = socketH.AF_INET6;
  const socket = new Fd(check(libc.socket(family, socketH.SOCK_DGRAM | socketH.SOCK_CLOEXEC, 0), 'socket'), 'flood');
  setOption(socket, socketH.SOL_SOCKET, { name: socketH.SO_RCVBUFFORCE, value: BUFFER });
  const address = encodeAddress({ address: parseIp('::'), port });
  check(libc.bind(socket.number, address, address.length), `bind ${port}`);
  const batch = batchOf(ROOM);
  process.stdout.write('ready\n');
  for (let count = 0; ; ) {
    if (pollReadable([socket], count === 0 ? -1 : SILENCE).length === 0) {
      process.stdout.write(`${count}\n`);
      count = 0;
      continue;
    }
    const came = libc.recvmmsg(socket.number, batch.address, BATCH, socketH.MSG_DONTWAIT, 0);
    if (came > 0) count += came;
  }
}

interface Flood {
  readonly to: { readonly address: ReturnType<typeof parseIp>; readonly port: number };
  readonly size: number;
  /** datagrams a second */
  readonly rate: number;
  /** milliseconds */
  readonly time: number;
}

function send({ to, size, rate, time }: Flood): number {
  using socket = connectTo('udp', to);
  setOption(socket, socketH.SOL_SOCKET, { name: socketH.SO_SNDBUFFORCE, value: BUFFER });
  const batch = batchOf(size);
  const never = new Int32Array(new SharedArrayBuffer(4));
  const total = Math.round((rate * time) / 1000);
  const began = performance.now();
  for (let sent = 0; ; ) {
    const due = Math.min(total, Math.floor(((performance.now() - began) * rate) / 1000));
    while (sent < due) {
      const went = libc.sendmmsg(socket.number, batch.address, Math.min(BATCH, due - sent), 0);
      // What this host cannot take is what it has lost.
      sent += Math.max(1, went);
    }
    if (sent >= total) return sent;
    Atomics.wait(never, 0, 0, PACE);
  }
}

const [role, ...args] = process.argv.slice(2);
if (role === 'serve') serve(Number(args[0]));
const [address = '', port, size, rate, time] = args;
const to = { address: parseIp(address), port: Number(port) };
process.stdout.write(`${send({ to, size: Number(size), rate: Number(rate), time: Number(time) })}\n`);
