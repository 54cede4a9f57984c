import { fileURLToPath } from 'node:url';
import { execInPlace } from '../../sys/process.ts';

/**
 * `moor daemon`: this process becomes moord, bundled or not. Bundled it goes by bin/moord, which has flags for Node that only work from the
 * start on (memory, when V8 compiles). Only returns by throwing.
 */
export function becomeDaemon(args: readonly string[]): never {
  const beside = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  if (import.meta.url.endsWith('.mjs')) return execInPlace([beside('../bin/moord'), ...args]);
  return execInPlace([process.execPath, ...process.execArgv, beside('../moord.ts'), ...args]);
}
