/** How a tunnel process is told what to do, between two batches of packets: nothing here waits, and what does not fit into a socket's buffer ends that connection. */
import { MoorError } from '../../base/errors.ts';
import { socketH } from '../../sys/constants.ts';
import type { Fd } from '../../sys/fd.ts';
import { acceptFrom, receive, send, setOption } from '../../sys/inet.ts';
import { sendDescriptors } from '../../sys/unix.ts';
import { frame, Frames, type FromTunnel, type Hello, type ToTunnel } from './protocol.ts';

/** Bytes: the counters of 16,384 peers. */
const SEND_BUFFER = 8 << 20;

interface Connection {
  readonly fd: Fd;
  readonly frames: Frames<ToTunnel>;
}

export interface ControlOptions {
  readonly listener: Fd;
  readonly hello: Hello;
  /** Handed over with the greeting. */
  readonly shared: readonly Fd[];
  /** @returns the answer, if there is one */
  readonly obey: (message: Exclude<ToTunnel, { type: 'stop' }>) => FromTunnel | null;
}

export class Control {
  readonly #options: ControlOptions;
  readonly #into = new Uint8Array(65_536);
  #connections: readonly Connection[] = [];

  constructor(options: ControlOptions) {
    this.#options = options;
  }

  /** What to wait for besides packets. Another list after each `turn`. */
  get fds(): readonly Fd[] {
    return [this.#options.listener, ...this.#connections.map(({ fd }) => fd)];
  }

  /** Does what was asked. @returns false: the tunnel is to end */
  turn(): boolean {
    const going: Connection[] = [];
    for (const connection of [...this.#connections, ...this.#accept()]) {
      const state = this.#serve(connection);
      if (state === 'stop') return false;
      if (state === 'over') connection.fd.close();
      else going.push(connection);
    }
    this.#connections = going;
    return true;
  }

  *#accept(): Generator<Connection> {
    const { listener, hello, shared } = this.#options;
    for (let fd = acceptFrom(listener); fd !== null; fd = acceptFrom(listener)) {
      setOption(fd, socketH.SOL_SOCKET, { name: socketH.SO_SNDBUFFORCE, value: SEND_BUFFER });
      try {
        sendDescriptors(fd, frame(hello), shared);
        yield { fd, frames: new Frames<ToTunnel>() };
      } catch {
        // Whoever called has gone already.
        fd.close();
      }
    }
  }

  #serve({ fd, frames }: Connection): 'going' | 'over' | 'stop' {
    try {
      for (;;) {
        const length = receive(fd, this.#into);
        if (length === -1) return 'going';
        if (length <= 0) return 'over';
        for (const message of frames.push(this.#into.slice(0, length))) {
          if (message.type === 'stop') return 'stop';
          const answer = this.#options.obey(message);
          if (answer === null) continue;
          const bytes = frame(answer);
          if (send(fd, bytes) !== bytes.length) return 'over';
        }
      }
    } catch (error) {
      if (error instanceof MoorError || error instanceof SyntaxError) return 'over';
      throw error;
    }
  }
}
