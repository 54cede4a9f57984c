/**
 * The one connection to a conmon's attach socket, shared by all who are attached. conmon writes to each connection and waits until it is taken, so
 * that ours must always be read: the waiting is done here. And it closes a process's input as soon as any connection ends, so that ours stays
 * while somebody may still type.
 */
import { Writable } from 'node:stream';
import type { Streams } from '../../contracts/containers.ts';
import { PacketSocket } from '../../sys/packets.ts';
import { Spool } from './spool.ts';

/** conmon's stdpipe_t: the first byte of each packet that it sends. */
const STDERR = 3;
/** bytes; conmon reads packets of up to 32 KiB and cuts longer ones */
const INPUT_PACKET = 8192;
/** bytes of output that may wait for one who is slow, and for one who has not come yet */
const LIMIT = 256 * 1024 * 1024;
const EARLY_LIMIT = 1024 * 1024;

export interface HubOptions {
  /** The socket. */
  readonly path: string;
  /** The process has an input (`-i`). */
  readonly stdin: boolean;
  /** The end of what is typed is an end for the process (StdinOnce; always so for an exec). */
  readonly once: boolean;
  /** Where output waits for slow readers. */
  readonly spool: string;
  /** Keep output from now on for the first who attaches. */
  readonly early?: boolean;
  /** The hub is of no more use. */
  readonly closed: () => void;
}

interface Subscriber {
  readonly stdout: Spool;
  readonly stderr: Spool;
}

export class Hub implements Disposable {
  readonly #options: HubOptions;
  readonly #socket: PacketSocket;
  readonly #subscribers = new Set<Subscriber>();
  #early: Subscriber | null = null;
  #inputEnded = false;
  #ended = false;

  /** @throws not-found, unavailable when no conmon listens */
  constructor(options: HubOptions) {
    this.#options = options;
    this.#socket = new PacketSocket(options.path, {
      packet: (bytes) => this.#output(bytes),
      end: () => this.#end(),
    });
    if (options.early) this.#early = this.#subscribe();
  }

  attach(): Streams {
    const subscriber = this.#early ?? this.#subscribe();
    this.#early = null;
    const stdin = this.#options.stdin && !this.#inputEnded && !this.#ended ? this.#input() : null;
    return {
      stdin,
      stdout: subscriber.stdout,
      stderr: subscriber.stderr,
      close: () => {
        stdin?.destroy();
        this.#leave(subscriber);
      },
    };
  }

  /** Nobody will come any more for what was kept for the first; those who are attached are not disturbed. */
  abandon(): void {
    if (this.#early) this.#leave(this.#early);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
    this.#end();
    this.#release();
  }

  #subscribe(): Subscriber {
    const options = { directory: this.#options.spool, limit: LIMIT };
    const subscriber = { stdout: new Spool(options), stderr: new Spool(options) };
    this.#subscribers.add(subscriber);
    for (const stream of [subscriber.stdout, subscriber.stderr]) {
      // Without a listener the failure of one who is too slow would end the daemon.
      stream.on('error', () => this.#leave(subscriber));
    }
    return subscriber;
  }

  #input(): Writable {
    const send = (bytes: Uint8Array, done: (error?: Error | null) => void): void => {
      if (bytes.length <= INPUT_PACKET) {
        if (bytes.length === 0) done();
        else this.#socket.send(bytes, done);
        return;
      }
      this.#socket.send(bytes.subarray(0, INPUT_PACKET), (error) =>
        error ? done(error) : send(bytes.subarray(INPUT_PACKET), done),
      );
    };
    const input = new Writable({
      decodeStrings: true,
      write: (chunk: Buffer, _encoding, done) => send(chunk, done),
      final: (done) => {
        if (this.#options.once) {
          this.#inputEnded = true;
          this.#socket.shutdown();
          this.#rest();
        }
        done();
      },
    });
    input.on('error', () => {}); // the process has ended: its exit is told elsewhere
    return input;
  }

  #output(bytes: Buffer): void {
    const data = bytes.subarray(1);
    for (const subscriber of this.#subscribers) {
      (bytes[0] === STDERR ? subscriber.stderr : subscriber.stdout).feed(data);
    }
    const early = this.#early;
    if (early && early.stdout.waiting + early.stderr.waiting > EARLY_LIMIT) this.#leave(early);
  }

  #leave(subscriber: Subscriber): void {
    if (this.#early === subscriber) this.#early = null;
    if (!this.#subscribers.delete(subscriber)) return;
    subscriber.stdout.destroy();
    subscriber.stderr.destroy();
    this.#rest();
  }

  /** Nobody is attached: lets go of the connection, unless its end would be the end of an input that others may still write to. */
  #rest(): void {
    if (this.#subscribers.size > 0) return;
    if (!this.#ended && this.#options.stdin && this.#options.once && !this.#inputEnded) return;
    this.#socket.close();
    this.#release();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const { stdout, stderr } of this.#subscribers) {
      stdout.finish();
      stderr.finish();
    }
    // What one who has not come yet will read stays; the others have all they need.
    if (this.#early === null) this.#release();
  }

  #release(): void {
    this.#options.closed();
  }
}
