/** Progress lines, not too many. */
import type { Progress } from '../../contracts/containers.ts';

/** Docker's own step, bytes (moby pkg/progress). */
const STEP = 512 * 1024;

/** @returns a function of bytes done, which prints when enough more is done, and at the end */
export function byteProgress(
  print: (line: Progress) => void,
  { status, id, total }: { readonly status: string; readonly id: string; readonly total: number },
): (bytes: number) => void {
  let printed = 0;
  return (bytes) => {
    if (bytes - printed < STEP && bytes < total) return;
    printed = bytes;
    print({ status, id, current: Math.min(bytes, total), total });
  };
}
