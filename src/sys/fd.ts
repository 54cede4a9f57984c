/** An open file descriptor that remembers what it is, closed once. */
export declare class Fd implements Disposable {
  /** The descriptor; -1 once closed. */
  readonly number: number;
  /** What it is, for messages: `/run/moor/netns/1a2b`. */
  readonly what: string;
  constructor(number: number, what: string);
  close(): void;
  [Symbol.dispose](): void;
}
/** open(2) with O_CLOEXEC. @throws not-found, forbidden ... with `kernel` detail */
export declare function openFile(path: string, flags: number, mode?: number): Fd;
