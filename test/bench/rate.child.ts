/**
 * New connections, as many as the kernel makes: both ends do little else than the system calls.
 *
 *     rate.child.ts serve PORT                         one byte to each, then the end; for ever
 *     rate.child.ts connect ADDRESS PORT WIDTH MS      WIDTH at a time, for MS milliseconds; prints how many a second were served
 */
import { parseIp } from '../../src/base/ip.ts';
import { epollH, socketH } from '../../src/sys/constants.ts';
import { Epoll } from '../../src/sys/epoll.ts';
import type { Fd } from '../../src/sys/fd.ts';
import { acceptFrom, connectTo, listenOn, receive, send } from '../../src/sys/inet.ts';
import { check, libc } from '../../src/sys/libc.ts';
import { pollReadable } from '../../src/sys/poll.ts';

/** <asm-generic/socket.h> */
const SO_LINGER = 13;
/** `struct linger` {on, 0 s}: closing resets, so that neither end, nor the kernel's table of connections, remembers them for minutes. */
const RESET = new Uint8Array(Int32Array.of(1, 0).buffer);
const BACKLOG = 4096;
/** Stop when nothing at all is served for so long, milliseconds. */
const SILENCE = 10_000;

function serve(port: number): never {
  const listener = listenOn('tcp', { address: parseIp('0.0.0.0'), port }, BACKLOG);
  const byte = Uint8Array.of(1);
  process.stdout.write('ready\n');
  for (;;) {
    pollReadable([listener], -1);
    for (let one = acceptFrom(listener); one !== null; one = acceptFrom(listener)) {
      send(one, byte);
      one.close();
    }
  }
}

function connect(to: { readonly address: ReturnType<typeof parseIp>; readonly port: number }, width: number, ms: number): number {
  using epoll = new Epoll();
  const open = new Map<number, Fd>();
  const into = new Uint8Array(16);
  const one = (): void => {
    const fd = connectTo('tcp', to);
    check(libc.setsockopt(fd.number, socketH.SOL_SOCKET, SO_LINGER, RESET, RESET.length), 'setsockopt SO_LINGER');
    epoll.add(fd, epollH.EPOLLIN, 0);
    open.set(fd.number, fd);
  };
  for (let k = 0; k < width; k++) one();
  const started = performance.now();
  let served = 0;
  for (;;) {
    const count = epoll.wait(SILENCE);
    if (count === 0) throw new Error(`no connection was served in ${SILENCE} ms`);
    for (let i = 0; i < count; i++) {
      const number = epoll.descriptor(i);
      const fd = open.get(number);
      if (fd === undefined) continue;
      const length = receive(fd, into);
      if (length === -1) continue;
      if (length < 1) throw new Error(`a connection ended with ${length < -1 ? `errno ${-length - 1}` : 'nothing'}`);
      served++;
      open.delete(number);
      fd.close();
      one();
    }
    const elapsed = performance.now() - started;
    if (elapsed >= ms) return (served / elapsed) * 1000;
  }
}

const [role, ...args] = process.argv.slice(2);
if (role === 'serve') serve(Number(args[0]));
const [address = '', port, width, ms] = args;
process.stdout.write(`${connect({ address: parseIp(address), port: Number(port) }, Number(width), Number(ms))}\n`);
