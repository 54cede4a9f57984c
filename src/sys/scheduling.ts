/** Scheduling of threads, sched(7). */
import { addressOf, check, libc } from './libc.ts';

/** <linux/sched.h>; numbers of system calls as on x86-64. */
const schedH = { SCHED_RR: 2, SCHED_RESET_ON_FORK: 0x40000000, SYS_sched_setscheduler: 144 } as const;

/**
 * Lets the calling thread go before all programs of usual priority (SCHED_RR, the lowest of the real-time priorities): it waits for nobody but the kernel's own
 * interrupts. What it starts has usual priority. The kernel leaves 5 % of each second to the others (sched_rt_runtime_us).
 * @throws forbidden (EPERM) without CAP_SYS_NICE, and in a control group that has no real-time budget
 */
export function goBeforeOthers(): void {
  const priority = new Int32Array(new ArrayBuffer(4)).fill(1);
  const bytes = new Uint8Array(priority.buffer);
  check(
    libc.syscall(schedH.SYS_sched_setscheduler, 0, schedH.SCHED_RR | schedH.SCHED_RESET_ON_FORK, addressOf(bytes), 0),
    'set real-time priority',
  );
}
