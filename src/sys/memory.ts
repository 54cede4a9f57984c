/** What this process keeps in memory. */
import { readFileSync } from 'node:fs';
import { mmanH } from './constants.ts';
import { libc } from './libc.ts';

/** One mapping of `/proc/self/smaps` (proc(5)): its first line, and how much of it this process has written to. */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ +(\S.*)\n(?:(?![0-9a-f]+-).*\n)*?Anonymous: +(\d+) kB/gm;

/**
 * Gives back the pages of a program's file that are mapped here and read only: the code that only the start needed, 20 MB of it in
 * Node. They stay in the page cache, and one that is needed again is mapped again when it is touched. A mapping that holds as
 * much as one page of our own is left alone: relocated data would be lost.
 * @returns bytes of the mappings that were let go
 */
export function releaseFilePages(file: string): number {
  let released = 0;
  for (const [, from = '', to = '', access, path, own] of readFileSync('/proc/self/smaps', 'latin1').matchAll(MAPPING)) {
    if (path !== file || (access !== 'r-xp' && access !== 'r--p') || own !== '0') continue;
    const start = Number.parseInt(from, 16);
    const size = Number.parseInt(to, 16) - start;
    if (libc.madvise(start, size, mmanH.MADV_DONTNEED) === 0) released += size;
  }
  return released;
}

/**
 * Gives back what malloc keeps of memory that was freed: the compilers of V8 need some 50 MB of it, for a moment each. All threads of the process that
 * allocate wait meanwhile, some milliseconds. malloc_trim(3)
 */
export function releaseFreed(): void {
  libc.malloc_trim(0);
}
