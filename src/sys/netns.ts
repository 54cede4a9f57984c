import type { Fd } from './fd.ts';
/** Opens a namespace file. @throws not-found when it is missing or (unpinned) no namespace. */
export declare function openNetns(path: string): Fd;
/** The namespace the calling thread is in. */
export declare function ownNetns(): Fd;
/** Runs `body` (synchronous) inside a namespace and comes back; the process is aborted when coming back fails. */
export declare function withNetns<T>(netns: Fd, body: () => T): T;
/** unshare; `inside` runs in the new namespace; pins it at `path` (parents made); back. @throws conflict (EEXIST) when `path` exists */
export declare function createNetns<T>(path: string, inside: () => T): T;
/** Bind-mounts an existing namespace file on `path`. */
export declare function pinNetns(source: string, path: string): void;
/** Unmounts and unlinks a pin. @returns false when it was gone already */
export declare function unpinNetns(path: string): boolean;
export declare function isNetns(path: string): boolean;
/** Paths of the pins right under a directory that are namespaces; none when the directory is missing. */
export declare function listPins(directory: string): readonly string[];
/** st_dev:st_ino, equal for two paths of the same namespace. */
export declare function netnsIdentity(netns: Fd | string): string;
