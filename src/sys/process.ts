/** Processes by pidfd, which unlike a number never names somebody else, and exec in place. */
import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { invalid, MoorError } from '../base/errors.ts';
import { fcntlH, signalH, syscallH } from './constants.ts';
import { errnoName } from './errors.ts';
import { Fd } from './fd.ts';
import { check, lastErrno, libc } from './libc.ts';
import { pollReadable, watchReadable } from './poll.ts';

/** @throws not-found (ESRCH) when there is no such process */
export function openPid(pid: number): Fd {
  return new Fd(
    check(libc.syscall(syscallH.SYS_pidfd_open, pid, 0, 0, 0), () => `pidfd_open ${pid}`),
    `process ${pid}`,
  );
}

/** @returns false when the process is gone */
export function signalPid(pidfd: Fd, signal: NodeJS.Signals): boolean {
  const result = libc.syscall(syscallH.SYS_pidfd_send_signal, pidfd.number, constants.signals[signal], 0, 0);
  if (result < 0 && errnoName(lastErrno()) === 'ESRCH') return false;
  check(result, () => `kill -${signal.slice(3)} ${pidfd.what}`);
  return true;
}

/** Has the process ended (reaped or not)? */
export const hasExited = (pidfd: Fd): boolean => pollReadable([pidfd], 0).length > 0;

/**
 * Resolves when the process has ended. Does not reap it, and does not block the loop.
 * @throws cancelled by the signal
 */
export function pidExit(pidfd: Fd, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(cancelled(pidfd));
    const stop = (): void => {
      watch[Symbol.dispose]();
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = (): void => {
      stop();
      reject(cancelled(pidfd));
    };
    const watch = watchReadable(pidfd, () => {
      stop();
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

const cancelled = (pidfd: Fd): MoorError => new MoorError('cancelled', `Cannot wait for ${pidfd.what}: cancelled`);

/** Signals 1 to 64, <signal.h>; 9 and 19 cannot be set and 32, 33 belong to the C library: those answers are ignored. */
const SIGNALS = 64;

/**
 * Replaces this process with a program, found on the PATH of `env`'s owner as execvp(3) does. Node ignores SIGPIPE, may
 * have made the standard streams non-blocking, and has marked them close-on-exec: all of that is set back first.
 * @param argv with the program's own name first
 * @throws by errno when it cannot be started (not-found, forbidden); never returns
 */
export function execInPlace(
  argv: readonly [string, ...string[]],
  env: Readonly<Record<string, string | undefined>> = process.env,
): never {
  for (let number = 1; number <= SIGNALS; number++) libc.signal(number, 0);
  check(libc.sigprocmask(signalH.SIG_SETMASK, new Uint8Array(128), null), 'sigprocmask');
  for (const fd of [0, 1, 2]) {
    libc.fcntl(fd, fcntlH.F_SETFD, 0);
    const flags = libc.fcntl(fd, fcntlH.F_GETFL, 0);
    if (flags >= 0 && flags & fcntlH.O_NONBLOCK) libc.fcntl(fd, fcntlH.F_SETFL, flags & ~fcntlH.O_NONBLOCK);
  }
  const pairs = Object.entries(env).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]));
  check(libc.execvpe(argv[0], [...argv, null], [...pairs, null]), () => `exec ${argv[0]}`);
  throw new MoorError('internal', `exec ${argv[0]} came back`);
}

/** Lets threads that wait for this CPU go first, such as one that was woken a moment ago (see `wakeElsewhere`). sched_yield(2) */
export function giveWay(): void {
  libc.sched_yield();
}

/** TASK_COMM_LEN - 1, <linux/sched.h> */
const THREAD_NAME = 15;

/**
 * Names the calling thread, as `ps -L` shows it and as nf_tables reports who made a transaction. (It reports a number, too, but as the initial pid
 * namespace counts, which nobody in a container knows.)
 * @param name at most 15 bytes of ASCII; the kernel would cut a longer one
 */
export function setThreadName(name: string): void {
  if (name.length > THREAD_NAME) throw invalid(`invalid thread name ${name}: it is longer than ${THREAD_NAME} bytes`);
  writeFileSync('/proc/thread-self/comm', name);
}
