/** A throw-away repository with one test file, run by the real runner. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Group } from './groups.ts';
import { type FileResult, runFile } from './run-file.ts';

/** Not the folder for temporary files: the namespaces of a kernel test have an empty one. */
const CACHE = resolve(import.meta.dirname, '../../.cache');

export async function runText(text: string, group: Group, timeoutSeconds = 20): Promise<FileResult> {
  mkdirSync(CACHE, { recursive: true });
  const root = mkdtempSync(join(CACHE, 'runner-'));
  try {
    const path = group === 'unit' ? 'src/a.test.ts' : 'test/a.test.ts';
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
    return await runFile(root, { path, group, timeoutSeconds }, new AbortController().signal);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
