/** The kernel's random numbers, for threads that need nothing else of Node's crypto: that would cost each of them 2.5 MB. */
import { check, libc } from './libc.ts';

/** Of a short request the kernel gives all. getrandom(2) */
const ALL_AT_ONCE = 256;

/** Fills bytes, unpredictably. */
export function fillRandom(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += ALL_AT_ONCE) {
    const part = bytes.subarray(at, at + ALL_AT_ONCE);
    check(libc.getrandom(part, part.length, 0), 'getrandom');
  }
}
