/** The resolver's thread, that dies when a file is there: in its loop by an error, or at once by the end of its memory. */
import { existsSync, rmSync } from 'node:fs';

const now = performance.now.bind(performance);
performance.now = (): number => {
  if (existsSync('/run/dns-die')) {
    rmSync('/run/dns-die');
    throw new Error('told to die');
  }
  if (existsSync('/run/dns-eat')) {
    rmSync('/run/dns-eat');
    const eaten: number[][] = [];
    for (;;) eaten.push(Array.from({ length: 1e6 }, () => 0.5));
  }
  return now();
};

await import('../../src/dns/worker.ts');
