/** Waiting for descriptors: on a thread of our own with poll(2), or on Node's event loop. */
import koffi from 'koffi';
import { eventfdH, pollH } from './constants.ts';
import { errnoName } from './errors.ts';
import { Fd } from './fd.ts';
import { check, lastErrno, libc } from './libc.ts';

/** `struct pollfd`, <poll.h>: int fd, short events, short revents. */
const POLLFD = 8;

/**
 * Blocks this thread until something can be read. A worker that blocks cannot be ended from outside: always have an `openEvent` among them.
 * @param timeout milliseconds, -1 for ever
 * @returns indexes of the descriptors that are readable, hung up or in error; none on time-out
 */
export function pollReadable(fds: readonly Fd[], timeout: number): readonly number[] {
  const bytes = new Uint8Array(fds.length * POLLFD);
  const view = new DataView(bytes.buffer);
  for (const [i, fd] of fds.entries()) {
    view.setInt32(i * POLLFD, fd.number, true);
    view.setInt16(i * POLLFD + 4, pollH.POLLIN, true);
  }
  const count = libc.poll(bytes, fds.length, timeout);
  if (count < 0) {
    if (errnoName(lastErrno()) === 'EINTR') return [];
    check(count, 'poll');
  }
  const ready: number[] = [];
  for (let i = 0; i < fds.length; i++) if (view.getInt16(i * POLLFD + 6, true) !== 0) ready.push(i);
  return ready;
}

/** The same for a fixed list that is waited on again and again: nothing is allocated. */
export class Waiting {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #count: number;

  constructor(fds: readonly Fd[]) {
    this.#bytes = new Uint8Array(fds.length * POLLFD);
    this.#count = fds.length;
    this.#view = new DataView(this.#bytes.buffer);
    for (const [i, fd] of fds.entries()) {
      this.#view.setInt32(i * POLLFD, fd.number, true);
      this.#view.setInt16(i * POLLFD + 4, pollH.POLLIN, true);
    }
  }

  /** @param timeout milliseconds, -1 for ever, 0 to look only */
  wait(timeout: number): void {
    if (libc.poll(this.#bytes, this.#count, timeout) >= 0) return;
    if (errnoName(lastErrno()) !== 'EINTR') check(-1, 'poll');
    for (let i = 0; i < this.#count; i++) this.#view.setInt16(i * POLLFD + 6, 0, true);
  }

  /** Whether the last `wait` found this one, by its place in the list, readable, hung up or in error. */
  fired(i: number): boolean {
    return this.#view.getInt16(i * POLLFD + 6, true) !== 0;
  }
}

/** eventfd(2), non-blocking: wakes a thread that polls it. */
export function openEvent(): Fd {
  return new Fd(check(libc.eventfd(0, eventfdH.EFD_NONBLOCK | eventfdH.EFD_CLOEXEC), 'eventfd'), 'eventfd');
}

/** Makes an event readable. May be called from any thread that knows the descriptor. */
export function signalEvent(event: Fd): void {
  check(libc.write(event.number, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0), 8), 'write to eventfd');
}

/** Makes an event unreadable again. @returns whether it was signalled */
export function clearEvent(event: Fd): boolean {
  const result = libc.read(event.number, new Uint8Array(8), 8);
  if (result < 0 && errnoName(lastErrno()) === 'EAGAIN') return false;
  check(result, 'read from eventfd');
  return true;
}

/** koffi's, with the promises that a listener resolves being carried on at once. */
export function pollEvents(fd: Fd, events: PollEvents, listener: () => void): ReturnType<typeof koffi.node.poll> {
  return koffi.node.poll(fd.number, events, carryOn(listener));
}

export interface PollEvents {
  readonly readable: boolean;
  readonly writable?: boolean;
  readonly disconnect?: boolean;
}

/**
 * koffi calls back without Node knowing (napi_call_function, not napi_make_callback): promises that were resolved would wait for whatever
 * event comes next, which on an idle machine is minutes. An immediate is such an event, in the same turn of the loop.
 */
export const carryOn = (listener: () => void) => (): void => {
  setImmediate(noop);
  listener();
};

const noop = (): void => {};

/** koffi collects a handle that nobody references, and the loop then stops listening in silence. */
const handles = new Set<ReturnType<typeof koffi.node.poll>>();

/**
 * Calls back on the event loop as long as the descriptor is readable.
 *
 * In a worker thread it must be disposed of before the process ends, a turn of the loop earlier: when Node takes down a thread, koffi 3.3.4
 * still calls back, which aborts the process, and the loop calls koffi after it was unmapped.
 * @param options.unref do not keep the loop alive for it
 * @returns dispose it before the descriptor is closed
 */
export function watchReadable(fd: Fd, listener: () => void, options: { readonly unref?: boolean } = {}): Disposable {
  const handle = pollEvents(fd, { readable: true, disconnect: true }, listener);
  if (options.unref) handle.unref();
  handles.add(handle);
  return {
    [Symbol.dispose]() {
      if (handles.delete(handle)) handle.close();
    },
  };
}
