/** Which CPUs a thread may run on. sched_setaffinity(2) */
import { check, libc } from './libc.ts';

/** Bytes of a mask: for 1,024 CPUs, as glibc's `cpu_set_t`. */
const MASK = 128;

/** The calling thread as the kernel counts in this process's PID namespace. gettid(2) */
export const threadId = (): number => libc.gettid();

/** A set of CPUs for the threads of this process to move in. */
export class Cpus {
  readonly #all = new Uint8Array(MASK);
  readonly #others = new Uint8Array(MASK);
  readonly #several: boolean;

  /** What the calling thread may use now. */
  constructor() {
    check(libc.sched_getaffinity(0, MASK, this.#all), 'sched_getaffinity');
    this.#several = this.#all.reduce((sum, byte) => sum + bits(byte), 0) > 1;
  }

  /**
   * Has a thread that sleeps wake on another CPU than the caller's, so that both work at the same time. By itself the scheduler may put it behind the caller
   * although another CPU has nothing to do: in a virtual machine one that has halted counts as taken away by the host (`available_idle_cpu()`, kernel/sched/).
   * The thread calls `anywhere` once it runs. Does nothing where there is one CPU, or where the set of CPUs has changed since.
   */
  elsewhere(thread: number): void {
    if (!this.#several) return;
    const here = libc.sched_getcpu();
    this.#others.set(this.#all);
    const at = here >> 3;
    this.#others[at] = (this.#others[at] ?? 0) & ~(1 << (here & 7));
    libc.sched_setaffinity(thread, MASK, this.#others);
  }

  /** The calling thread may run wherever it could. */
  anywhere(): void {
    if (this.#several) libc.sched_setaffinity(0, MASK, this.#all);
  }
}

function bits(byte: number): number {
  let count = 0;
  for (let rest = byte; rest > 0; rest &= rest - 1) count++;
  return count;
}
