import type { Fd } from './fd.ts';
export declare function openPid(pid: number): Fd;
/** @returns false when the process is gone */
export declare function signalPid(pidfd: Fd, signal: NodeJS.Signals): boolean;
/** Resolves when the process has ended; does not reap it and does not block the loop. */
export declare function pidExit(pidfd: Fd, signal?: AbortSignal): Promise<void>;
/** Replaces this process. Signals are reset to their defaults, the mask is cleared. Only returns by throwing. */
export declare function execFile(file: string, args: readonly string[], options?: { readonly env?: Readonly<Record<string, string>> }): never;
