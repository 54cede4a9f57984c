/** A UDP socket for a tunnel: large buffers, glued datagrams on receive (UDP_GRO); sending waits while its buffer is full. */
import { familyOf } from '../base/ip.ts';
import { inH, socketH } from './constants.ts';
import { Fd } from './fd.ts';
import { encodeAddress, setOption, type SocketAddress } from './inet.ts';
import { check, libc } from './libc.ts';
import { udpH } from './tun-queue.ts';

/** Bytes of each socket buffer: some milliseconds at 10 Gbit/s. The kernel counts twice that. */
const BUFFER = 8 << 20;

/** @throws conflict (EADDRINUSE) when a program has the port; unavailable when the address is not there */
export function openTunnelSocket(at: SocketAddress): Fd {
  const what = `tunnel at port ${at.port}`;
  const family = familyOf(at.address) === 6 ? socketH.AF_INET6 : socketH.AF_INET;
  const fd = new Fd(
    check(libc.socket(family, socketH.SOCK_DGRAM | socketH.SOCK_CLOEXEC, 0), () => `socket for ${what}`),
    what,
  );
  try {
    setOption(fd, socketH.SOL_SOCKET, { name: socketH.SO_RCVBUFFORCE, value: BUFFER });
    setOption(fd, socketH.SOL_SOCKET, { name: socketH.SO_SNDBUFFORCE, value: BUFFER });
    setOption(fd, inH.IPPROTO_UDP, { name: udpH.UDP_GRO, value: 1 });
    // A tunnel may send without a checksum (RFC 6935); over IPv4 anybody may.
    setOption(fd, inH.IPPROTO_UDP, { name: udpH.UDP_NO_CHECK6_RX, value: 1 });
    const address = encodeAddress(at);
    check(libc.bind(fd.number, address, address.length), () => `bind ${what}`);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}
