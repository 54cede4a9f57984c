import { fileURLToPath } from 'node:url';
import { execInPlace } from '../../sys/process.ts';

/** `moor daemon`: this process becomes moord, which lies beside us, bundled or not. Only returns by throwing. */
export function becomeDaemon(args: readonly string[]): never {
  const bundled = import.meta.url.endsWith('.mjs');
  const program = fileURLToPath(new URL(bundled ? './moord.mjs' : '../moord.ts', import.meta.url));
  return execInPlace([process.execPath, ...process.execArgv, program, ...args]);
}
