/** Scheduling of threads, sched(7). */
import { check, libc } from './libc.ts';

/** <linux/sched.h> */
const schedH = { SCHED_RR: 2, SCHED_RESET_ON_FORK: 0x40000000 } as const;

/**
 * Lets the calling thread go before all programs of usual priority (SCHED_RR, the lowest of the real-time priorities): it waits for nobody but the kernel's own
 * interrupts. What it starts has usual priority. The kernel leaves 5 % of each second to the others (sched_rt_runtime_us).
 * @throws forbidden (EPERM) without CAP_SYS_NICE, and in a control group that has no real-time budget
 */
export function goBeforeOthers(): void {
  const priority = new Uint8Array(new Int32Array([1]).buffer);
  check(libc.sched_setscheduler(0, schedH.SCHED_RR | schedH.SCHED_RESET_ON_FORK, priority), 'set real-time priority');
}
