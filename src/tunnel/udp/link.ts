/** A daemon's connection to a tunnel process. */
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { MoorError } from '../../base/errors.ts';
import type { TunnelSpec, TunnelStatus } from '../../contracts/tunnel.ts';
import type { Fd } from '../../sys/fd.ts';
import { watchReadable } from '../../sys/poll.ts';
import { openPid, pidExit, signalPid } from '../../sys/process.ts';
import { receiveDescriptors } from '../../sys/unix.ts';
import { frame, Frames, type FromTunnel, type Hello, type ToTunnel } from './protocol.ts';

/** Milliseconds. The process answers between two batches of packets; a busy machine may take a while to give it a CPU. */
const PATIENCE = 10_000;

type Answer = Exclude<FromTunnel, Hello>;

export class Link {
  readonly hello: Hello;
  /** Device and socket of the process, as descriptors of our own; they stay ours when the process ends. */
  readonly tun: Fd;
  readonly udp: Fd;
  /** Resolves when the process has ended, or has cut the connection. */
  readonly ended: Promise<void>;
  readonly #socket: Socket;
  readonly #process: Fd;
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();
  #serial = 0;

  private constructor(socket: Fd, { hello, tun, udp }: { readonly hello: Hello; readonly tun: Fd; readonly udp: Fd }) {
    this.#process = openPid(hello.pid);
    this.hello = hello;
    this.tun = tun;
    this.udp = udp;
    this.#socket = new Socket({ fd: socket.number, readable: true, writable: true });
    const ended = Promise.withResolvers<void>();
    this.ended = ended.promise;
    const frames = new Frames<Answer>();
    this.#socket.on('data', (bytes: Buffer) => {
      for (const answer of frames.push(bytes)) {
        this.#waiting.get(answer.serial)?.resolve(answer);
        this.#waiting.delete(answer.serial);
      }
    });
    // Whatever it is, the connection is closed next.
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new MoorError('unavailable', 'the tunnel process has ended'));
      this.#waiting.clear();
      ended.resolve();
    });
  }

  /**
   * Waits for the greeting.
   * @param socket closed when this fails
   * @throws unavailable when the process ends first; timeout; internal when it speaks something else
   */
  static async meet(socket: Fd): Promise<Link> {
    try {
      return new Link(socket, await within(PATIENCE, (signal) => greeting(socket, signal)));
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  async setPeers({ peers, underlay }: Pick<TunnelSpec, 'peers' | 'underlay'>): Promise<void> {
    await this.#ask((serial) => ({ type: 'peers', peers, underlay, serial }));
  }

  async status(): Promise<TunnelStatus> {
    const answer = await this.#ask((serial) => ({ type: 'status', serial }));
    if (answer.type !== 'status') throw new MoorError('internal', `the tunnel process answers ${answer.type}, not status`);
    return answer.status;
  }

  async #ask(question: (serial: number) => ToTunnel): Promise<Answer> {
    const serial = ++this.#serial;
    const answer = Promise.withResolvers<Answer>();
    if (this.#socket.closed || this.#socket.destroyed) throw new MoorError('unavailable', 'the tunnel process has ended');
    this.#waiting.set(serial, answer);
    this.#socket.write(frame(question(serial)));
    try {
      return await within(PATIENCE, () => answer.promise);
    } finally {
      this.#waiting.delete(serial);
    }
  }

  /** Ends the process: by request, or by force when it does not listen. Its device and socket stay open here. Does nothing the second time. */
  async stop(): Promise<void> {
    if (this.#process.number < 0) return;
    const gone = pidExit(this.#process);
    this.#socket.write(frame({ type: 'stop' }));
    await within(STOP, () => gone).catch(() => {
      signalPid(this.#process, 'SIGKILL');
    });
    await gone;
    this.#close();
  }

  /** Leaves the process alone, for the next daemon. */
  letGo(): void {
    this.#close();
  }

  #close(): void {
    this.#socket.destroy();
    this.#process.close();
  }
}

/** Milliseconds until a process that does not end is ended. */
const STOP = 2_000;

/** @param work is told when it is too late */
async function within<T>(milliseconds: number, work: (late: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: over.signal }).then(() => {
    throw new MoorError('timeout', `the tunnel process has not answered in ${milliseconds / 1000} s`);
  });
  try {
    return await Promise.race([work(over.signal), late]);
  } finally {
    over.abort();
  }
}

async function greeting(socket: Fd, signal: AbortSignal): Promise<{ readonly hello: Hello; readonly tun: Fd; readonly udp: Fd }> {
  using undo = new DisposableStack();
  const frames = new Frames<FromTunnel>();
  const into = new Uint8Array(65_536);
  const fds: Fd[] = [];
  for (;;) {
    await readable(socket, signal);
    if (signal.aborted) throw new MoorError('cancelled', 'the tunnel process is not waited for any more');
    const { length, fds: more } = receiveDescriptors(socket, into);
    for (const fd of more) fds.push(undo.use(fd));
    if (length === 0) throw new MoorError('unavailable', 'the tunnel process has ended');
    if (length < 0) continue;
    const [hello] = frames.push(into.slice(0, length));
    if (hello === undefined) continue;
    const [tun, udp] = fds;
    if (hello.type !== 'hello' || tun === undefined || udp === undefined)
      throw new MoorError('internal', 'the tunnel process speaks another protocol');
    undo.move();
    return { hello, tun, udp };
  }
}

/** A descriptor that is watched must not be closed: the watch ends with the signal. */
function readable(fd: Fd, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      watch[Symbol.dispose]();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const watch = watchReadable(fd, end);
    signal.addEventListener('abort', end, { once: true });
  });
}
