/** Names in a directory, for the engine's sweep. */
import { readdir } from 'node:fs/promises';

/** @returns nothing where there is no directory @throws what else keeps it from being read */
export async function listDirectory(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return [];
    throw error;
  }
}
