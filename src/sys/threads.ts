/** Threads of this process, by their numbers. */
import { readdirSync, readFileSync } from 'node:fs';
import { libc } from './libc.ts';

const TASKS = '/proc/self/task';

/** Numbers of the threads with one of these names, as `ps -L` shows them. proc_pid_task(5) */
export const threadsNamed = (names: readonly string[]): readonly number[] =>
  readdirSync(TASKS).flatMap((thread) => (names.includes(nameOf(thread)) ? [Number(thread)] : []));

/** '' when it has ended meanwhile. */
function nameOf(thread: string): string {
  try {
    return readFileSync(`${TASKS}/${thread}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

/** <linux/sched.h> */
const SCHED_BATCH = 3;

/**
 * Has a thread wait for a CPU when it is woken, rather than take that of who wakes it: for what nobody waits for. Its share of the CPUs stays the same. Does nothing
 * when the thread is gone. sched(7), SCHED_BATCH
 */
export function putBehind(thread: number): void {
  libc.sched_setscheduler(thread, SCHED_BATCH, new Uint8Array(4));
}
