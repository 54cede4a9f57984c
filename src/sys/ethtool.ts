/** What ethtool(8) asks and tells a device, by ioctl(2). */
import { ethtoolH, sockiosH } from './constants.ts';
import type { Fd } from './fd.ts';
import { addressOf, check, libc } from './libc.ts';

/** `struct ifreq`, <linux/if.h>: char name[IFNAMSIZ] at 0, here a pointer at 16; 40 bytes with 64-bit pointers. */
const IFREQ = 40;
const IFNAMSIZ = 16;
/** `struct ethtool_value`, <linux/ethtool.h>: u32 command, u32 data. */
const ETHTOOL_VALUE = 8;

function ask(socket: Fd, device: string, { command, data }: { readonly command: number; readonly data: number }): number {
  const value = new Uint8Array(new ArrayBuffer(ETHTOOL_VALUE));
  const words = new Uint32Array(value.buffer);
  words[0] = command;
  words[1] = data;
  const request = new Uint8Array(IFREQ);
  request.set(Buffer.from(device).subarray(0, IFNAMSIZ - 1));
  new DataView(request.buffer).setBigUint64(IFNAMSIZ, BigInt(addressOf(value)), true);
  check(libc.ioctl(socket.number, sockiosH.SIOCETHTOOL, request), () => `ethtool ${device}`);
  return words[1];
}

/**
 * Whether checksums of what is sent are left to the device.
 * @param socket any, in the device's namespace
 * @throws not-found without such a device; unsupported when it cannot tell
 */
export const sendsChecksums = (socket: Fd, device: string): boolean =>
  ask(socket, device, { command: ethtoolH.ETHTOOL_GTXCSUM, data: 0 }) !== 0;

/** As `ethtool -K DEVICE tx on|off`. */
export const setSendsChecksums = (socket: Fd, device: string, on: boolean): void =>
  void ask(socket, device, { command: ethtoolH.ETHTOOL_STXCSUM, data: on ? 1 : 0 });
