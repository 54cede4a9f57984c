/** Persistent TUN and TAP devices. <linux/if_tun.h> */
import { invalid, unsupported } from '../base/errors.ts';
import { fcntlH, ifTunH, socketH, sockiosH } from './constants.ts';
import { hasCode } from './errors.ts';
import { Fd, openFile } from './fd.ts';
import { check, libc } from './libc.ts';

/** `struct ifreq`: 16 bytes of name, then a union of 24. <net/if.h> */
const IFREQ = 40;
const NAME = 16;

export type TunMode = 'tun' | 'tap';

/**
 * Makes a device that stays when nobody has it open, in the calling thread's namespace. One that is there in this mode is taken as it is.
 * @param options.owner user id that may attach to it
 * @throws invalid (EINVAL) when the name is taken by another kind of link, conflict (EBUSY) when somebody has it open
 */
export function createTun(name: string, mode: TunMode, options: { readonly owner?: number } = {}): void {
  using device = attach(name, mode, `ip tuntap add ${name} mode ${mode}`);
  if (options.owner !== undefined) {
    check(
      libc.ioctlNumber(device.number, ifTunH.TUNSETOWNER, options.owner),
      `ip tuntap add ${name} mode ${mode} user ${options.owner}`,
    );
  }
  check(libc.ioctlNumber(device.number, ifTunH.TUNSETPERSIST, 1), `ip tuntap add ${name} mode ${mode}`);
}

/**
 * Makes a device go away with its last user; at once when nobody has it open. (`deleteLink` removes it in any case.)
 * @throws conflict (EBUSY) when somebody has it open
 */
export function removeTun(name: string, mode: TunMode): void {
  using device = attach(name, mode, `ip tuntap del ${name} mode ${mode}`);
  check(libc.ioctlNumber(device.number, ifTunH.TUNSETPERSIST, 0), `ip tuntap del ${name} mode ${mode}`);
}

function attach(name: string, mode: TunMode, operation: string): Fd {
  return attachTun(name, (mode === 'tun' ? ifTunH.IFF_TUN : ifTunH.IFF_TAP) | ifTunH.IFF_NO_PI, operation);
}

/** @param flags IFF_* of `ifTunH` @param operation for the message of an error */
export function attachTun(name: string, flags: number, operation: string): Fd {
  const request = new Uint8Array(IFREQ);
  const bytes = new TextEncoder().encode(name);
  // The kernel would cut a longer name.
  if (bytes.length === 0 || bytes.length >= NAME) throw invalid(`invalid device name ${name}: it is not 1 to ${NAME - 1} bytes`);
  request.set(bytes);
  new DataView(request.buffer).setInt16(NAME, flags, true);
  let device: Fd;
  try {
    device = openFile('/dev/net/tun', fcntlH.O_RDWR);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENODEV')) throw unsupported(`${operation}: this kernel has no /dev/net/tun (module tun)`);
    throw error;
  }
  try {
    check(libc.ioctl(device.number, ifTunH.TUNSETIFF, request), operation);
    return device;
  } catch (error) {
    device.close();
    throw error;
  }
}

/**
 * How many packets a device of the calling thread's namespace keeps for its reader; what comes on top of them is lost (tun_net_xmit(), drivers/net/tun.c). As
 * `ip link set NAME txqueuelen N`.
 */
export function setQueueLength(name: string, packets: number): void {
  const request = new Uint8Array(IFREQ);
  request.set(new TextEncoder().encode(name).subarray(0, NAME - 1));
  new DataView(request.buffer).setInt32(NAME, packets, true);
  const what = `ip link set ${name} txqueuelen ${packets}`;
  // Any socket leads to the devices of its namespace.
  using socket = new Fd(check(libc.socket(socketH.AF_INET, socketH.SOCK_DGRAM | socketH.SOCK_CLOEXEC, 0), what), what);
  check(libc.ioctl(socket.number, sockiosH.SIOCSIFTXQLEN, request), what);
}

/** Which device a descriptor belongs to. @returns null when that was removed: such a descriptor never gets another one */
export function tunName(fd: Fd): string | null {
  const request = new Uint8Array(IFREQ);
  if (libc.ioctl(fd.number, ifTunH.TUNGETIFF, request) < 0) return null;
  return Buffer.from(request.buffer, 0, request.indexOf(0)).toString();
}
