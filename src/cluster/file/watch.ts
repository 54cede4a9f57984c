/** A text file that others write, by whatever way: in place, by rename, through a link that is turned (as ConfigMaps are). */
import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Alarm, type Sleep } from '../time.ts';

/** How long a writer that writes in pieces may take, in milliseconds. */
const SETTLE_MS = 50;
/** The folder tells of what happens in it; what a link leads to is looked at, at this distance in milliseconds. */
const LOOK_MS = 5_000;

/**
 * Calls back with each new text, or with why there is none, until the signal aborts.
 * @param last what was read before
 */
export async function watchText(
  file: string,
  {
    last,
    sleep,
    onText,
    onError,
  }: {
    readonly last: string;
    readonly sleep: Sleep;
    readonly onText: (text: string) => Promise<void>;
    readonly onError: (error: unknown) => void;
  },
  signal: AbortSignal,
): Promise<void> {
  const alarm = new Alarm();
  let seen: string | null = last;
  let watcher: FSWatcher | null = null;
  const open = (): void => {
    try {
      watcher = watch(dirname(file), { persistent: false }, alarm.kick);
      // The folder itself is gone: looking goes on.
      watcher.on('error', () => close());
    } catch {
      watcher = null;
    }
  };
  const close = (): void => {
    watcher?.close();
    watcher = null;
  };
  open();
  while (!signal.aborted) {
    await alarm.wait(sleep, LOOK_MS, signal);
    await sleep(SETTLE_MS, signal);
    if (signal.aborted) break;
    if (!watcher) open();
    try {
      const text = await readFile(file, 'utf8');
      if (text !== seen) {
        seen = text;
        await onText(text);
      }
    } catch (error) {
      if (seen !== null) onError(error);
      seen = null;
    }
  }
  close();
}
