/** Numbers that the API's thread and the kernel thread both see, by their place in one Int32Array. */

/** How many messages have been sent and not been taken; who waits for it to change is notified. */
export const WAITING = 0;
/** How many messages have been sent. Counted when one can be received, unlike `WAITING`. */
export const SENT = 1;
/** 1 while the kernel thread waits for a list without sleeping, or is at it. */
export const AWAKE = 2;
/** The CPU that it was on when it became so. */
export const CPU = 3;

export type Shared = Int32Array<SharedArrayBuffer>;

export const makeShared = (): Shared => new Int32Array(new SharedArrayBuffer(4 * Int32Array.BYTES_PER_ELEMENT));
