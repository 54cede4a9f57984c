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
  if (allBut(here)) libc.sched_setaffinity(thread, MASK, others);
}

/** Fills `others` from `all`. @returns false when none is left */
function allBut(cpu: number): boolean {
  others.set(all);
  const at = cpu >> 3;
  others[at] = (others[at] ?? 0) & ~(1 << (cpu & 7));
  return others.some((byte) => byte !== 0);
}

/** The one that the calling thread is on. sched_getcpu(3) */
export const currentCpu = (): number => libc.sched_getcpu();

/**
 * Has threads work on other CPUs than this one until `letGo`: one that is woken while others work goes where it was before, and waits there or takes the CPU from
 * who is at work, although another CPU is about to have nothing to do. Does nothing where the caller may use one CPU only.
 * @returns false when one of them is gone
 */
export function keepOff(threads: readonly number[], cpu: number): boolean {
  check(libc.sched_getaffinity(0, MASK, all), 'sched_getaffinity');
  return !allBut(cpu) || setAll(threads, others);
}

/** They may run wherever the calling thread may. @returns false when one of them is gone */
export function letGo(threads: readonly number[]): boolean {
  check(libc.sched_getaffinity(0, MASK, all), 'sched_getaffinity');
  return setAll(threads, all);
}

function setAll(threads: readonly number[], mask: Uint8Array): boolean {
  let there = true;
  for (const thread of threads) there = libc.sched_setaffinity(thread, MASK, mask) === 0 && there;
  return there;
}

/** The calling thread may run wherever the main thread may, which an administrator may have changed since (taskset(1)). */
export function anywhere(): void {
  check(libc.sched_getaffinity(process.pid, MASK, all), 'sched_getaffinity');
  libc.sched_setaffinity(0, MASK, all);
}
