/** Processes that live in sandboxes. Implemented over pidfds in `sys`, handed in by `main`. */
import type { ProcessRef } from '../model/sandbox.ts';

export interface Processes {
  /** True while exactly this process (pid and start time) exists and is not a zombie. */
  readonly alive: (process: ProcessRef) => boolean;
  /** Resolves when the process has ended; at once if it is gone already. */
  readonly ended: (process: ProcessRef, signal: AbortSignal) => Promise<void>;
  /** SIGTERM, then SIGKILL after `graceMs`. Resolves when it is gone. Idempotent. */
  readonly stop: (process: ProcessRef, graceMs: number) => Promise<void>;
}
