/** What a program that has a device's packets in its hands must know of it, asked by ioctl(2): netdevice(7). */
import { sockiosH } from './constants.ts';
import type { Fd } from './fd.ts';
import { check, libc } from './libc.ts';

/** `struct ifreq`: 16 bytes of name, then a union of 24. <net/if.h> */
const IFREQ = 40;
const NAME = 16;
/** ARPHRD_ETHER, <linux/if_arp.h> */
const ETHERNET = 1;

function ask(socket: Fd, name: string, request: number): DataView {
  const bytes = new Uint8Array(IFREQ);
  bytes.set(new TextEncoder().encode(name).subarray(0, NAME - 1));
  check(libc.ioctl(socket.number, request, bytes), () => `look at ${name}`);
  return new DataView(bytes.buffer);
}

/** @param socket of any kind: it leads to the devices of its namespace @returns bytes @throws unavailable (ENODEV) */
export const mtuOf = (socket: Fd, name: string): number => ask(socket, name, sockiosH.SIOCGIFMTU).getInt32(NAME, true);

/** @throws unavailable (ENODEV) */
export const indexOf = (socket: Fd, name: string): number => ask(socket, name, sockiosH.SIOCGIFINDEX).getInt32(NAME, true);

/** Whether its packets begin with an Ethernet header. @throws unavailable (ENODEV) */
export const isEthernet = (socket: Fd, name: string): boolean =>
  ask(socket, name, sockiosH.SIOCGIFHWADDR).getUint16(NAME, true) === ETHERNET;
