import type { MoorError } from '../base/errors.ts';
import type { Fd } from '../sys/fd.ts';
import type { Request } from './request.ts';
export type Protocol = 'route' | 'netfilter';
/** A request socket: made in one namespace, used by one thread, synchronous. */
export declare class NetlinkSocket implements Disposable {
  /** @param netns default: the namespace the thread is in */
  static open(protocol: Protocol, netns?: Fd): NetlinkSocket;
  /**
   * Sends all requests in as few sends as fit (the kernel handles them in order and goes on after an error) and collects the ACKs.
   * @returns one entry per request: null = done, or its error. @throws only when the socket itself fails
   */
  execute(requests: readonly Request[]): readonly (MoorError | null)[];
  /** One request. @throws its error */
  run(request: Request): void;
  /** A dump or a get request; `decode` runs per message (undefined = skip it). Repeated when the kernel says it was interrupted. */
  collect<T>(request: Query<T>): readonly T[];
  /** The first message of a get request, null when the kernel says there is no such thing. */
  find<T>(request: Query<T>): T | null;
  close(): void;
  [Symbol.dispose](): void;
}
/** A request that is answered with messages, and how to read one. */
export interface Query<T> extends Request {
  readonly decode: (type: number, body: DataView) => T | undefined;
}
