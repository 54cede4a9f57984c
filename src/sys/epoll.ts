/** epoll(7), level-triggered, for a thread that waits in the kernel and not on Node's event loop. Waiting allocates nothing. */
import { epollH } from './constants.ts';
import { errnoName, kernelError } from './errors.ts';
import { Fd } from './fd.ts';
import { addressOf, check, lastErrno, libc } from './libc.ts';

/** `struct epoll_event`: u32 events, u64 data; packed on x86-64 alone. Words of 32 bits. */
const WORDS = process.arch === 'x64' ? 3 : 4;
const DATA_AT = WORDS - 2;
/** Events taken in one wait; the others come with the next. */
const BATCH = 64;

export class Epoll implements Disposable {
  readonly #fd: Fd;
  readonly #events = new Uint32Array(new ArrayBuffer(BATCH * WORDS * 4));
  readonly #address: number;
  readonly #event = new Uint32Array(WORDS);

  constructor() {
    this.#fd = new Fd(check(libc.epollCreate(epollH.EPOLL_CLOEXEC), 'epoll_create1'), 'epoll');
    this.#address = addressOf(new Uint8Array(this.#events.buffer));
  }

  /** For who closes it after a thread that did not. */
  get number(): number {
    return this.#fd.number;
  }

  /**
   * @param events EPOLL* of `epollH`
   * @param tag a number below 2^32 that `tag` gives back with the events: descriptors are used again, tags need not be
   */
  add(fd: Fd, events: number, tag: number): void {
    this.#fill(fd, events, tag);
    this.#control(epollH.EPOLL_CTL_ADD, fd);
  }

  modify(fd: Fd, events: number, tag: number): void {
    this.#fill(fd, events, tag);
    this.#control(epollH.EPOLL_CTL_MOD, fd);
  }

  #fill(fd: Fd, events: number, tag: number): void {
    this.#event[0] = events;
    this.#event[DATA_AT] = fd.number;
    this.#event[DATA_AT + 1] = tag;
  }

  #control(op: number, fd: Fd): void {
    check(libc.epollCtl(this.#fd.number, op, fd.number, new Uint8Array(this.#event.buffer)), () => `epoll_ctl ${fd.what}`);
  }

  /**
   * Blocks this thread. A thread that blocks cannot be ended from outside: always have an `openEvent` among the descriptors.
   * @param timeout milliseconds, -1 for ever
   * @returns how many events there are; 0 on time-out
   */
  wait(timeout: number): number {
    const count = libc.epollWait(this.#fd.number, this.#address, BATCH, timeout);
    if (count >= 0) return count;
    const errno = lastErrno();
    if (errnoName(errno) === 'EINTR') return 0;
    throw kernelError('epoll_wait', errno);
  }

  /** What happened, of event `i`. */
  events(i: number): number {
    return this.#events[i * WORDS] ?? 0;
  }

  descriptor(i: number): number {
    return this.#events[i * WORDS + DATA_AT] ?? 0;
  }

  tag(i: number): number {
    return this.#events[i * WORDS + DATA_AT + 1] ?? 0;
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}
