/**
 * Two devices joined as by a bad network card: frames go across as they lie in memory, so that whoever had left a checksum to the card sends a wrong one. As
 * such a card does, it gets that of the outermost UDP header right: here there is none at all, which IPv4 allows. Started with the names of two devices.
 */
import { readFileSync } from 'node:fs';
import { Fd } from '../../src/sys/fd.ts';
import { check, libc } from '../../src/sys/libc.ts';
import { pollReadable } from '../../src/sys/poll.ts';

/** <linux/if_packet.h>, <linux/if_ether.h> */
const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_ALL_BE = 0x0300;
const MSG_DONTWAIT = 0x40;
/** struct sockaddr_ll: family, protocol, index, hatype, pkttype, halen, address[8] */
const SOCKADDR_LL = 20;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
const VXLAN_PORT = 8472;

function open(device: string): Fd {
  const fd = new Fd(check(libc.socket(AF_PACKET, SOCK_RAW, 0), 'socket(AF_PACKET)'), device);
  const one = new Uint8Array(Int32Array.of(1).buffer);
  check(libc.setsockopt(fd.number, SOL_PACKET, PACKET_IGNORE_OUTGOING, one, 4), 'PACKET_IGNORE_OUTGOING');
  const address = new Uint8Array(SOCKADDR_LL);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, ETH_P_ALL_BE, true);
  view.setInt32(4, Number(readFileSync(`/sys/class/net/${device}/ifindex`, 'utf8')), true);
  check(libc.bind(fd.number, address, SOCKADDR_LL), `bind ${device}`);
  return fd;
}

const fds = process.argv.slice(2, 4).map(open);
const frame = new Uint8Array(65_536);
const view = new DataView(frame.buffer);
process.stdout.write('ready\n');
for (;;) {
  for (const i of pollReadable(fds, -1)) {
    const [from, to] = [fds[i], fds[1 - i]];
    if (from === undefined || to === undefined) continue;
    for (;;) {
      const length = libc.recv(from.number, frame, frame.length, MSG_DONTWAIT);
      if (length < 0) break;
      // Ethernet, IPv4 without options, UDP.
      const vxlan = view.getUint16(12) === 0x0800 && view.getUint8(23) === 17 && view.getUint16(36) === VXLAN_PORT;
      if (vxlan) view.setUint16(40, 0);
      libc.send(to.number, frame.subarray(0, length), length, MSG_DONTWAIT);
    }
  }
}
