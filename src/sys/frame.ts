/** Sending an Ethernet frame as it is: packet(7). */
import { packetH, socketH } from './constants.ts';
import { Fd } from './fd.ts';
import { check, libc } from './libc.ts';

/** `struct sockaddr_ll`, <linux/if_packet.h>: u16 family, u16 protocol, int index at 4, u8 address length at 11. */
const SOCKADDR_LL = 20;

/**
 * In the calling thread's namespace. The socket takes part in nothing: it has no protocol, so nothing is received.
 * @param index of the link that it leaves by
 */
export function sendFrame(index: number, frame: Uint8Array): void {
  const { AF_PACKET, SOCK_RAW, SOCK_CLOEXEC, MSG_NOSIGNAL } = socketH;
  using fd = new Fd(check(libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), 'socket(AF_PACKET, SOCK_RAW)'), 'packet socket');
  const address = new Uint8Array(SOCKADDR_LL);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, packetH.ETH_P_ALL);
  view.setInt32(4, index, true);
  check(libc.sendto(fd.number, frame, frame.length, MSG_NOSIGNAL, address, SOCKADDR_LL), () => `send(AF_PACKET, ${index})`);
}
