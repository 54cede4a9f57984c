/** Sockets that look at the way to another host: ICMP echo that must not be fragmented, and UDP with its checksum made by us, or by a device. */
import { constants } from 'node:os';
import type { Family, IpAddress } from '../base/ip.ts';
import { familyOf } from '../base/ip.ts';
import { inH, probeH, socketH } from './constants.ts';
import { Fd } from './fd.ts';
import { encodeAddress, setOption } from './inet.ts';
import { check, lastErrno, libc } from './libc.ts';

const TYPE = socketH.SOCK_NONBLOCK | socketH.SOCK_CLOEXEC;
const familyNumber = (family: Family): number => (family === 6 ? socketH.AF_INET6 : socketH.AF_INET);

const open = (family: Family, kind: { readonly type: number; readonly protocol: number; readonly what: string }): Fd =>
  new Fd(
    check(libc.socket(familyNumber(family), kind.type | TYPE, kind.protocol), () => `socket for ${kind.what}`),
    kind.what,
  );

/**
 * A raw socket, which needs CAP_NET_RAW: those that do without it (SOCK_DGRAM) are for groups of net.ipv4.ping_group_range only, which has none in a
 * new namespace. What was learned of the path is not asked (IP_PMTUDISC_PROBE): up to the device's MTU packets go out as they are.
 * @param types ICMP types that are received
 */
export function openEchoSocket(family: Family, types: readonly number[]): Fd {
  const protocol = family === 4 ? probeH.IPPROTO_ICMP : probeH.IPPROTO_ICMPV6;
  const fd = open(family, { type: socketH.SOCK_RAW, protocol, what: `ICMP over IPv${family}` });
  try {
    if (family === 4) {
      setOption(fd, 0, { name: probeH.IP_MTU_DISCOVER, value: probeH.IP_PMTUDISC_PROBE });
      // A bit for each type that is not received.
      setOption(fd, probeH.SOL_RAW, { name: probeH.ICMP_FILTER, value: types.reduce((mask, type) => mask & ~(1 << type), -1) });
    } else {
      setOption(fd, inH.IPPROTO_IPV6, { name: probeH.IPV6_MTU_DISCOVER, value: probeH.IPV6_PMTUDISC_PROBE });
      setOption(fd, inH.IPPROTO_IPV6, { name: probeH.IPV6_DONTFRAG, value: 1 });
      // `struct icmp6_filter`, <linux/icmpv6.h>: 256 bits.
      const mask = new Uint32Array(8).fill(0xffffffff);
      for (const type of types) mask[type >> 5] = (mask[type >> 5] ?? 0) & ~(1 << (type & 31));
      const bytes = new Uint8Array(mask.buffer);
      check(
        libc.setsockopt(fd.number, probeH.IPPROTO_ICMPV6, probeH.ICMPV6_FILTER, bytes, bytes.length),
        'setsockopt(ICMPV6_FILTER)',
      );
    }
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

/**
 * Sends a UDP datagram as it is given, header and checksum included: the kernel leaves them alone. By a socket of its own, as the kernel copies every
 * datagram of the host for one that stays.
 */
export function sendRawUdp(bytes: Uint8Array, to: IpAddress): void {
  const family = familyOf(to);
  using fd = open(family, { type: socketH.SOCK_RAW, protocol: inH.IPPROTO_UDP, what: `raw UDP over IPv${family}` });
  // Of a raw socket over IPv6 the port must be 0, or the protocol (raw(7)).
  sendTo(fd, bytes, { address: to, port: 0 });
}

/** @returns the socket, with a port that the kernel has chosen */
export function openUdp(family: Family): { readonly fd: Fd; readonly port: number } {
  const fd = open(family, { type: socketH.SOCK_DGRAM, protocol: 0, what: `UDP over IPv${family}` });
  const address = encodeAddress({ address: (family === 6 ? '::' : '0.0.0.0') as IpAddress, port: 0 });
  try {
    check(libc.bind(fd.number, address, address.length), () => `bind ${fd.what}`);
    const size = new Uint32Array([address.length]);
    check(libc.getsockname(fd.number, address, size), () => `getsockname ${fd.what}`);
    return { fd, port: new DataView(address.buffer).getUint16(2) };
  } catch (error) {
    fd.close();
    throw error;
  }
}

const { EMSGSIZE } = constants.errno;

/** @returns `big`: more than the device takes. `failed`: there is no way there, or no room at the moment */
export function sendTo(
  fd: Fd,
  bytes: Uint8Array,
  to: { readonly address: IpAddress; readonly port: number },
): 'sent' | 'big' | 'failed' {
  const address = encodeAddress(to);
  const flags = socketH.MSG_DONTWAIT | socketH.MSG_NOSIGNAL;
  if (libc.sendto(fd.number, bytes, bytes.length, flags, address, address.length) >= 0) return 'sent';
  return lastErrno() === EMSGSIZE ? 'big' : 'failed';
}

/** The address by which the host would send there; null when there is no way. */
export function sourceTo(address: IpAddress): Uint8Array | null {
  const family = familyOf(address);
  using fd = open(family, { type: socketH.SOCK_DGRAM, protocol: 0, what: `UDP to ${address}` });
  // Nothing is sent; a port there must be.
  const to = encodeAddress({ address, port: 9 });
  if (libc.connect(fd.number, to, to.length) < 0) return null;
  const own = new Uint8Array(to.length);
  if (libc.getsockname(fd.number, own, new Uint32Array([own.length])) < 0) return null;
  return family === 6 ? own.slice(8, 24) : own.slice(4, 8);
}
