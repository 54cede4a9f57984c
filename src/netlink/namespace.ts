import type { Fd } from '../sys/fd.ts';
import type { NetlinkSocket } from './socket.ts';
export interface Namespace extends Disposable {
  readonly netns: Fd;
  /** A route socket inside. */
  readonly route: NetlinkSocket;
}
/** New namespace, loopback up, pinned at `path`. @throws conflict (EEXIST) when `path` exists */
export declare function createNamespace(path: string): Namespace;
/** @throws not-found */
export declare function openNamespace(path: string): Namespace;
