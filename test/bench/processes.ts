/** What the kernel says of processes. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** By the start of `comm`, which the kernel cuts to 15 bytes (TASK_COMM_LEN). */
export function processesNamed(start: string): number[] {
  const all = execFileSync('ps', ['-eo', 'pid=,comm='], { encoding: 'utf8' }).trim().split('\n');
  return all.flatMap((line) => {
    const [pid = '', name = ''] = line.trim().split(/\s+/);
    return name.startsWith(start) ? [Number(pid)] : [];
  });
}

/** Resident memory of processes, MB (VmRSS, proc_pid_status(5)). */
export function residentMegabytes(pids: readonly number[]): number {
  let kilobytes = 0;
  for (const pid of pids) {
    const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    if (!found) throw new Error(`process ${pid} has no VmRSS`);
    kilobytes += Number(found[1]);
  }
  return kilobytes / 1024;
}
