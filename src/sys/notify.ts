/** sd_notify(3) without libsystemd. */
import { fcntlH, socketH } from './constants.ts';
import { Fd } from './fd.ts';
import { check, libc } from './libc.ts';

/**
 * Tells the service manager something.
 * @param state newline-separated: `READY=1\nSTATUS=Serving`
 * @param socket path, or `@name` for an abstract one; default $NOTIFY_SOCKET
 * @returns false when there is nobody to tell
 * @throws unavailable and others by errno
 */
export function notifySystemd(state: string, socket = process.env['NOTIFY_SOCKET']): boolean {
  if (!socket) return false;
  const name = new TextEncoder().encode(socket.startsWith('@') ? `\0${socket.slice(1)}` : socket);
  // `struct sockaddr_un`, <sys/un.h>: u16 family, name. An abstract name is as long as the address says, without a final NUL.
  const address = new Uint8Array(2 + name.length + (socket.startsWith('@') ? 0 : 1));
  new DataView(address.buffer).setUint16(0, socketH.AF_UNIX, true);
  address.set(name, 2);
  using fd = new Fd(check(libc.socket(socketH.AF_UNIX, socketH.SOCK_DGRAM | fcntlH.O_CLOEXEC, 0), 'socket(AF_UNIX)'), 'notify');
  const data = new TextEncoder().encode(state);
  check(libc.sendto(fd.number, data, data.length, socketH.MSG_NOSIGNAL, address, address.length), `notify ${socket}`);
  return true;
}
