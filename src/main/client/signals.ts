/** Signals that reach the CLI and are meant for the command it waits for. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Those that ask a program to do something. SIGTSTP and SIGCONT stop and continue us as well, so they keep their default. */
const PASSED = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGIO'] as const;
/** Those a terminal sends to all of its foreground group: the command, which is in ours, has them already. */
const FROM_KEYS = ['SIGINT', 'SIGQUIT', 'SIGWINCH'] as const;

/** @returns a function that ends it */
export function forwardSignals(child: ChildProcess): () => void {
  const listeners = [
    ...PASSED.map((signal) => [signal, () => child.kill(signal)] as const),
    ...FROM_KEYS.map((signal) => [signal, () => inForeground() || child.kill(signal)] as const),
  ];
  for (const [signal, listener] of listeners) process.on(signal, listener);
  return () => {
    for (const [signal, listener] of listeners) process.off(signal, listener);
  };
}

/** proc_pid_stat(5): fields 5 and 8 are our process group and the one the controlling terminal listens to (-1 without a terminal). */
function inForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[5 - 3] === fields[8 - 3];
}
