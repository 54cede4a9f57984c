/** How a demonstration ends: as it should, early, or with what went wrong. */
import { setTimeout as sleep } from 'node:timers/promises';
import { difference } from './look.ts';
import { DemoError, Interrupted, say } from './stage.ts';

/** The kernel removes a namespace, and the links in it, some time after its last process: so long is waited for that. */
const PATIENCE_MS = 5000;

/**
 * @param before what `look` told before anything was done
 * @throws DemoError with the lines that only one of the two has
 */
export async function unchanged(where: string, before: string, look: () => Promise<string>): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; ; await sleep(100)) {
    const left = difference(before, await look());
    if (left.length === 0) return;
    if (performance.now() > end) throw new DemoError(`${where} is not as before:\n${left.join('\n')}`);
  }
}

/** Runs a demonstration to its end; what went wrong is one line for the user, and exit status 1. */
export async function perform(name: string, main: () => Promise<void>): Promise<void> {
  // Who read it has gone (`make demo | head`): that is no reason to leave something behind.
  process.stdout.on('error', () => {});
  try {
    await main();
  } catch (error) {
    console.error(error instanceof DemoError ? `${name}: ${error.message}` : error);
    process.exitCode = 1;
  }
}

/**
 * The same for a show in its namespaces, which ends early, with exit status 130, after Ctrl-C, of which what it waits for has heard, too, and when nobody
 * reads it any more.
 */
export function playInside(name: string, show: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  process.on('SIGINT', () => stop.abort());
  process.stdout.on('error', () => stop.abort());
  return perform(name, async () => {
    try {
      await show(stop.signal);
    } catch (error) {
      if (!(error instanceof Interrupted) && !stop.signal.aborted) throw error;
      say('interrupted');
      process.exitCode = 130;
    }
  });
}
