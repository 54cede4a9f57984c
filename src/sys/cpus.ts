/** Which CPUs a thread may run on. sched_setaffinity(2) */
import { check, libc } from './libc.ts';

/** Bytes of a mask: for 1,024 CPUs, as glibc's `cpu_set_t`. */
const MASK = 128;

/** The calling thread as the kernel counts in this process's PID namespace. gettid(2) */
export const threadId = (): number => libc.gettid();

const all = new Uint8Array(MASK);
const others = new Uint8Array(MASK);

/**
 * Has a thread that sleeps wake on another CPU than the caller's, so that both work at the same time. By itself the scheduler may put it behind the caller
 * although another CPU has nothing to do: in a virtual machine one that has halted counts as taken away by the host (`available_idle_cpu()`, kernel/sched/).
 * The thread calls `anywhere` once it runs. Does nothing where the caller may use one CPU only, and when the thread is gone.
 */
export function wakeElsewhere(thread: number): void {
  check(libc.sched_getaffinity(0, MASK, all), 'sched_getaffinity');
  const here = libc.sched_getcpu();
  others.set(all);
  const at = here >> 3;
  others[at] = (others[at] ?? 0) & ~(1 << (here & 7));
  if (others.some((byte) => byte !== 0)) libc.sched_setaffinity(thread, MASK, others);
}

/** The calling thread may run wherever the main thread may, which an administrator may have changed since (taskset(1)). */
export function anywhere(): void {
  check(libc.sched_getaffinity(process.pid, MASK, all), 'sched_getaffinity');
  libc.sched_setaffinity(0, MASK, all);
}
