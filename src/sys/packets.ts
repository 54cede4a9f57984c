/** A connected SOCK_SEQPACKET socket on Node's event loop; libuv itself knows streams and datagrams only. */
import { dirname } from 'node:path';
import { fcntlH, socketH } from './constants.ts';
import { errnoName, kernelError } from './errors.ts';
import { Fd, openFile } from './fd.ts';
import { check, lastErrno, libc } from './libc.ts';
import { carryOn, pollEvents } from './poll.ts';

/** `struct sockaddr_un`, <sys/un.h>: u16 family, char path[108] with its NUL. */
const PATH_LIMIT = 107;
/** Longer packets would be cut; conmon sends at most 32 KiB and a byte. */
const RECEIVE = 65536;
/** Taken in one go before other events have their turn. */
const BURST = 32;

export interface PacketListener {
  /** @param bytes the listener's to keep */
  readonly packet: (bytes: Buffer) => void;
  /** The other side has closed, or the connection broke. Once; nothing comes after it. */
  readonly end: () => void;
}

interface Pending {
  readonly bytes: Uint8Array;
  readonly done: (error: Error | null) => void;
}

/** koffi collects a handle that nobody references, and the loop then stops listening in silence. */
const open = new Set<PacketSocket>();

export class PacketSocket implements Disposable {
  readonly #fd: Fd;
  readonly #listener: PacketListener;
  readonly #poll: ReturnType<typeof pollEvents>;
  readonly #buffer = Buffer.allocUnsafe(RECEIVE);
  readonly #pending: Pending[] = [];
  #reading = true;
  #shutdown: 'no' | 'wanted' | 'done' = 'no';

  /** @throws not-found, unavailable (ECONNREFUSED) when nobody listens there */
  constructor(path: string, listener: PacketListener) {
    this.#fd = connect(path);
    this.#listener = listener;
    this.#poll = pollEvents(this.#fd, { readable: true }, () => this.#ready());
    open.add(this);
  }

  get closed(): boolean {
    return this.#fd.number < 0;
  }

  /** Sends one packet, in order, when there is room. @param done called once, soon or later, with an error when the connection is gone */
  send(bytes: Uint8Array, done: (error: Error | null) => void): void {
    if (this.closed || this.#shutdown !== 'no') return done(kernelError('send', 32)); // EPIPE
    this.#pending.push({ bytes, done });
    this.#flush();
  }

  /** No more packets from this side, after those that wait; the other side reads an end, and can still send. */
  shutdown(): void {
    if (this.closed || this.#shutdown !== 'no') return;
    this.#shutdown = 'wanted';
    this.#flush();
  }

  /** Stops and resumes taking packets; the sender waits meanwhile. */
  read(on: boolean): void {
    if (this.closed || this.#reading === on) return;
    this.#reading = on;
    this.#watch();
  }

  close(): void {
    if (this.closed) return;
    this.#poll.close();
    open.delete(this);
    this.#fd.close();
    for (const { done } of this.#pending.splice(0)) done(kernelError('send', 32)); // EPIPE
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** koffi does not say for what the socket is ready; nothing here waits, so that trying costs one call. */
  #ready(): void {
    if (this.#pending.length > 0) this.#flush();
    if (this.#reading && !this.closed) this.#receive();
  }

  #receive(): void {
    for (let count = 0; count < BURST && this.#reading && !this.closed; count++) {
      const length = libc.recv(this.#fd.number, this.#buffer, RECEIVE, socketH.MSG_DONTWAIT);
      if (length > 0) {
        this.#listener.packet(Buffer.from(this.#buffer.subarray(0, length)));
        continue;
      }
      const code = length < 0 ? errnoName(lastErrno()) : '';
      if (code === 'EAGAIN') return;
      if (code === 'EINTR') continue;
      this.close();
      this.#listener.end();
    }
  }

  #flush(): void {
    const { MSG_DONTWAIT, MSG_NOSIGNAL } = socketH;
    for (let next = this.#pending[0]; next && !this.closed; next = this.#pending[0]) {
      if (libc.send(this.#fd.number, next.bytes, next.bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        const errno = lastErrno();
        if (errnoName(errno) === 'EINTR') continue;
        if (errnoName(errno) === 'EAGAIN') break;
        for (const { done } of this.#pending.splice(0)) done(kernelError('send', errno));
        break;
      }
      this.#pending.shift();
      next.done(null);
    }
    if (this.closed) return;
    if (this.#shutdown === 'wanted' && this.#pending.length === 0) {
      this.#shutdown = 'done';
      libc.shutdown(this.#fd.number, socketH.SHUT_WR); // fails when the other side has gone: that end is told by reading
    }
    this.#watch();
  }

  #watch(): void {
    const events = { readable: this.#reading, writable: this.#pending.length > 0 };
    if (!events.readable && !events.writable) this.#poll.stop();
    else
      this.#poll.start(
        events,
        carryOn(() => this.#ready()),
      );
  }
}

function connect(path: string): Fd {
  const { AF_UNIX, SOCK_SEQPACKET, SOCK_CLOEXEC, SOCK_NONBLOCK } = socketH;
  const type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const fd = new Fd(
    check(libc.socket(AF_UNIX, type, 0), () => 'socket(AF_UNIX, SOCK_SEQPACKET)'),
    path,
  );
  try {
    // A path that is too long for the address is reached through its open directory.
    using directory = Buffer.byteLength(path) > PATH_LIMIT ? openFile(dirname(path), fcntlH.O_PATH) : null;
    const name = directory ? `/proc/self/fd/${directory.number}${path.slice(dirname(path).length)}` : path;
    const raw = Buffer.from(name);
    const address = new Uint8Array(2 + raw.length + 1);
    new DataView(address.buffer).setUint16(0, AF_UNIX, true);
    address.set(raw, 2);
    check(libc.connect(fd.number, address, address.length), () => `connect ${path}`);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}
