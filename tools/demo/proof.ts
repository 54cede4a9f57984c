/** The proof that a place is as it was before. */
import { difference } from './look.ts';
import { DemoError } from './stage.ts';

/** @throws DemoError with the lines that only one of two descriptions has (`traces`, `processesOf`) */
export function compare(where: string, before: string, after: string): void {
  const left = difference(before, after);
  if (left.length > 0) throw new DemoError(`${where} is not as before:\n${left.join('\n')}`);
}

/** Runs a demonstration to its end; what went wrong is one line for the user, and exit status 1. */
export async function perform(name: string, main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof DemoError ? `${name}: ${error.message}` : error);
    process.exitCode = 1;
  }
}
