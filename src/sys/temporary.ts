/** Folders for the moment. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where a daemon may always write: the folder that $TMPDIR names may go while we run, or never have been there. */
const OTHERS = ['/run', '/dev/shm'];

export interface TemporaryFolder extends Disposable {
  readonly path: string;
}

/** @returns removed with everything in it when it is disposed of @throws what the last place said when there is none */
export function temporaryFolder(prefix: string): TemporaryFolder {
  const places = [tmpdir(), ...OTHERS];
  let failure: unknown;
  for (const place of places) {
    try {
      const path = mkdtempSync(join(place, prefix));
      return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}
