/**
 * Sends datagrams without a UDP checksum, as the kernel of a peer does (fastpath/leave.ts): hex lines on standard input.
 *
 *     bare.child.ts FROM TO PORT
 */
import { text } from 'node:stream/consumers';
import { parseIp } from '../../base/ip.ts';
import { socketH } from '../../sys/constants.ts';
import { Fd } from '../../sys/fd.ts';
import { encodeAddress, send, setOption } from '../../sys/inet.ts';
import { check, libc } from '../../sys/libc.ts';

/** <asm-generic/socket.h> */
const SO_NO_CHECK = 11;

const [from = '', to = '', port = ''] = process.argv.slice(2);
using socket = new Fd(check(libc.socket(socketH.AF_INET, socketH.SOCK_DGRAM | socketH.SOCK_CLOEXEC, 0), 'socket'), from);
setOption(socket, socketH.SOL_SOCKET, { name: SO_NO_CHECK, value: 1 });
for (const [call, address] of [
  [libc.bind, encodeAddress({ address: parseIp(from), port: 0 })],
  [libc.connect, encodeAddress({ address: parseIp(to), port: Number(port) })],
] as const)
  check(call(socket.number, address, address.length), from);
for (const line of (await text(process.stdin)).split('\n').filter(Boolean)) send(socket, Buffer.from(line, 'hex'));
