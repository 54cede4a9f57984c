/** Time on CPUs of what is in network namespaces, and priority for it: others on the machine are not what is measured. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export const namespaceOf = (pid: number): string => readlinkSync(`/proc/${pid}/ns/net`);

/** Processes in any of these network namespaces. */
function processesIn(namespaces: ReadonlySet<string>): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return namespaces.has(readlinkSync(`/proc/${name}/ns/net`)) ? [Number(name)] : [];
      } catch {
        return []; // it has ended
      }
    });
}

/** Milliseconds on a CPU since their start, all threads: what the kernel does in their name among it (proc_pid_schedstat: nanoseconds). */
export function cpuOf(namespaces: ReadonlySet<string>): number {
  let nanoseconds = 0;
  for (const pid of processesIn(namespaces)) {
    for (const thread of list(`/proc/${pid}/task`)) {
      try {
        nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
      } catch {
        // It has ended.
      }
    }
  }
  return nanoseconds / 1e6;
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Before a command: as `prefer`. */
export const FIRST = ['chrt', '--rr', '1'] as const;

/** What carries packets in a process, or makes them. Not moord: it may spin for a lock of the kernel, whose holder would then never run again. */
const CARRIERS: readonly string[] = ['iperf3', 'moor-tunnel', 'socat', 'tincd', 'nebula', 'wireguard-go'];

/**
 * Gives what carries packets there real-time priority (sched(7), SCHED_RR): on a machine that is busy with other things a contestant that works in a process
 * would wait for a CPU half of the time, and one that works in the kernel's interrupts would not. Who is busy with those other things waits meanwhile.
 */
export function prefer(namespaces: ReadonlySet<string>): void {
  for (const pid of processesIn(namespaces)) {
    if (!CARRIERS.includes(readFileSync(`/proc/${pid}/comm`, 'utf8').trim())) continue;
    execFileSync('chrt', ['--all-tasks', '--rr', '--pid', '1', String(pid)], { stdio: 'ignore' });
  }
}
