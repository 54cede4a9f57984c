import type { Fd } from './fd.ts';
export declare const POLLIN: 1;
/** poll(2) on this thread. @param timeout milliseconds, -1 for ever. @returns indexes of the descriptors with something to read (or an error) */
export declare function pollReadable(fds: readonly Fd[], timeout: number): readonly number[];
/** eventfd(2), non-blocking: wakes a thread that polls. */
export declare function openEvent(): Fd;
export declare function signalEvent(event: Fd): void;
export declare function clearEvent(event: Fd): void;
/** Calls back on the event loop whenever the descriptor is readable. Keeps the loop alive unless `unref`. */
export declare function watchReadable(fd: Fd, listener: () => void, options?: { readonly unref?: boolean }): Disposable;
