/** File descriptors with an owner. */
import { fcntlH } from './constants.ts';
import { check, libc } from './libc.ts';

/** An open file descriptor that remembers what it is, and is closed once. */
export class Fd implements Disposable {
  /** For messages: `/run/moor/netns/1a2b`. */
  readonly what: string;
  #number: number;

  constructor(number: number, what: string) {
    this.#number = number;
    this.what = what;
  }

  /** The descriptor; -1 once closed. */
  get number(): number {
    return this.#number;
  }

  /** Closes it; does nothing the second time. */
  close(): void {
    if (this.#number < 0) return;
    // Whatever close(2) says, the descriptor is gone on Linux.
    libc.close(this.#number);
    this.#number = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * First number of descriptors that there are thousands of. Whatever else is opened gets a lower one: libnftables waits with select(2),
 * and the C library ends the process when that is given a descriptor from 1024 (FD_SETSIZE) on.
 */
export const FIRST_ASIDE = 4096;

/** The same file under such a number; as it is where the limit of open files does not allow for it. */
export function aside(fd: Fd): Fd {
  const number = libc.fcntl(fd.number, fcntlH.F_DUPFD_CLOEXEC, FIRST_ASIDE);
  if (number < 0) return fd;
  fd.close();
  return new Fd(number, fd.what);
}

/**
 * open(2), always close-on-exec.
 * @param flags O_* of `fcntlH`
 * @throws MoorError by errno: not-found, forbidden, conflict (O_EXCL) and so on
 */
export function openFile(path: string, flags: number, mode = 0o644): Fd {
  return new Fd(
    check(libc.open(path, flags | fcntlH.O_CLOEXEC, mode), () => `open ${path}`),
    path,
  );
}
