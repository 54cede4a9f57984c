/** What ethtool(8) asks and tells a device, by ioctl(2). */
import { ethtoolH, sockiosH } from './constants.ts';
import { hasCode } from './errors.ts';
import type { Fd } from './fd.ts';
import { addressOf, check, libc } from './libc.ts';

/** `struct ifreq`, <linux/if.h>: char name[IFNAMSIZ] at 0, here a pointer at 16; 40 bytes with 64-bit pointers. */
const IFREQ = 40;
const IFNAMSIZ = 16;
/** `struct ethtool_drvinfo`: u32 command, char driver[32]. */
const DRVINFO = { driver: 4, size: 196 } as const;

function ask(socket: Fd, device: string, { command, data }: { readonly command: number; readonly data: number }): number {
  // `struct ethtool_value`: u32 command, u32 data.
  const words = new Uint32Array(new ArrayBuffer(8));
  words.set([command, data]);
  exchange(socket, device, new Uint8Array(words.buffer));
  return words[1] ?? 0;
}

/** @param value is asked, and answered, in place */
function exchange(socket: Fd, device: string, value: Uint8Array<ArrayBuffer>): void {
  const request = new Uint8Array(IFREQ);
  request.set(Buffer.from(device).subarray(0, IFNAMSIZ - 1));
  new DataView(request.buffer).setBigUint64(IFNAMSIZ, BigInt(addressOf(value)), true);
  check(libc.ioctl(socket.number, sockiosH.SIOCETHTOOL, request), () => `ethtool ${device}`);
}

/** Which driver a device has, such as `veth`; '' when it does not say. @param socket any, in the device's namespace */
export function driverOf(socket: Fd, device: string): string {
  const value = new Uint8Array(new ArrayBuffer(DRVINFO.size));
  new DataView(value.buffer).setUint32(0, ethtoolH.ETHTOOL_GDRVINFO, true);
  try {
    exchange(socket, device, value);
  } catch (error) {
    if (hasCode(error, 'EOPNOTSUPP')) return '';
    throw error;
  }
  return Buffer.from(value.subarray(DRVINFO.driver, value.indexOf(0, DRVINFO.driver))).toString();
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
