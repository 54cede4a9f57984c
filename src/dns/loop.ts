/** The thread's loop: waits in the kernel for sockets and times, and calls who is concerned. */
import type { Epoll } from '../sys/epoll.ts';
import type { Fd } from '../sys/fd.ts';
import type { Descriptors } from './descriptors.ts';
import { Timers } from './timers.ts';

/** Something with a socket. */
export interface Source {
  /** @param events EPOLL* of `epollH` */
  readonly ready: (events: number) => void;
  /** `ready` threw. One packet must not end the service of all: let go of what is broken. */
  readonly broke: () => void;
}

interface Entry {
  readonly source: Source;
  /** Not used twice: an event that was reported before its socket was closed finds nobody. */
  readonly tag: number;
}

export class Loop {
  /** Milliseconds of a monotonic clock, as of this turn. */
  now = performance.now();
  readonly timers: Timers;
  readonly #epoll: Epoll;
  readonly #descriptors: Descriptors;
  readonly #failed: (error: unknown) => void;
  /** By descriptor. */
  readonly #entries: (Entry | undefined)[] = [];
  #tag = 0;
  #running = true;

  /** @param failed hears what a source or a timer threw */
  constructor(epoll: Epoll, descriptors: Descriptors, failed: (error: unknown) => void) {
    this.#epoll = epoll;
    this.#descriptors = descriptors;
    this.#failed = failed;
    this.timers = new Timers(this, failed);
  }

  /** @param events EPOLL* @throws when the kernel cannot watch any more (exhausted); the descriptor stays its caller's then */
  watch(fd: Fd, source: Source, events: number): void {
    this.#tag = (this.#tag + 1) >>> 0;
    this.#epoll.add(fd, events, this.#tag);
    this.#entries[fd.number] = { source, tag: this.#tag };
    this.#descriptors.opened(fd.number);
  }

  change(fd: Fd, events: number): void {
    const entry = this.#entries[fd.number];
    if (entry) this.#epoll.modify(fd, events, entry.tag);
  }

  /** Closes a descriptor, watched or not, once. */
  close(fd: Fd): void {
    const { number } = fd;
    if (number < 0) return;
    this.#entries[number] = undefined;
    this.#descriptors.closed(number);
    fd.close();
  }

  /**
   * Until `stop`.
   * @param first in each turn: what was said before a packet came counts for it, whether or not we were woken for that
   */
  run(first: () => void): void {
    const epoll = this.#epoll;
    while (this.#running) {
      const count = epoll.wait(this.timers.wait());
      this.now = performance.now();
      this.#try(first);
      for (let i = 0; i < count; i++) this.#call(epoll.descriptor(i), epoll.tag(i), epoll.events(i));
      this.timers.run();
    }
  }

  stop(): void {
    this.#running = false;
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#failed(error);
    }
  }

  #call(descriptor: number, tag: number, events: number): void {
    const entry = this.#entries[descriptor];
    if (entry?.tag !== tag) return;
    try {
      entry.source.ready(events);
    } catch (error) {
      this.#failed(error);
      entry.source.broke();
    }
  }
}
