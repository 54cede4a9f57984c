/** Where the last lines of a log begin, found from its end. */
import type { FileHandle } from 'node:fs/promises';
import { isWholeLine } from './line.ts';

const BLOCK = 64 * 1024;
const LINE_FEED = 0x0a;

/**
 * @param size bytes of the file to look at
 * @param lines of the container; the pieces of one count together, and so do the pieces of a last one that is not finished
 * @returns offset of the first of them, 0 when there are not so many
 */
export async function tailOffset(file: FileHandle, size: number, lines: number): Promise<number> {
  if (lines === 0) return size;
  let count = 0;
  /** Start of the line that is known to be within the tail. */
  let found = size;
  let held: Buffer = Buffer.alloc(0);
  for (let at = size; at > 0; ) {
    const length = Math.min(BLOCK, at);
    at -= length;
    const block = Buffer.alloc(length);
    await file.read(block, 0, length, at);
    const bytes: Buffer = Buffer.concat([block, held]);
    // Lines that begin in these bytes, last first; the first of them may begin earlier.
    let end = bytes.length;
    for (;;) {
      const start = end === 0 ? -1 : bytes.lastIndexOf(LINE_FEED, end - 2) + 1;
      if (start <= 0 && at > 0) break;
      if (start < 0) break;
      if (start >= end) break;
      // A whole line ends what came before it: one more line of the container begins after it.
      const isLast = found === size && count === 0;
      if (isWholeLine(bytes, start) || isLast) {
        if (count === lines) return found;
        count++;
      }
      found = at + start;
      end = start;
      if (start === 0) break;
    }
    held = bytes.subarray(0, end);
  }
  return 0;
}
