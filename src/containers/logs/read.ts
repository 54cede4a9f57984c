/** Reads the file that conmon writes a container's output to (its `k8s-file` format), also while it is being written. */
import { mkdirSync, watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { invalid } from '../../base/errors.ts';
import type { LogEntry, LogQuery } from '../../contracts/containers.ts';
import { normalTime, parseLine } from './line.ts';
import { tailOffset } from './tail.ts';

export interface LogSource {
  /** The file, `Runtime.logPath`. It need not exist yet. */
  readonly path: string;
  /** Aborted when the container has ended (or had before): what is in the file then is still given, and a follow ends. */
  readonly ended: AbortSignal;
}

const BLOCK = 64 * 1024;
const LINE_FEED = 0x0a;

/**
 * Entries in order. Pieces of a line come as they were written: `data` ends with a line feed where the container wrote one.
 * A log that is full is begun anew by conmon: a follow then goes on with the new one.
 * @param signal ends the iteration, without an error
 * @throws invalid for times that are not RFC 3339
 */
export async function* readLogs(source: LogSource, query: LogQuery, signal: AbortSignal): AsyncGenerator<LogEntry> {
  const since = bound(query.since, 'since');
  const until = bound(query.until, 'until');
  using changes = query.follow ? watchFile(source, until, signal) : null;
  let cursor = await Cursor.open(source.path, query.tail);
  try {
    for (;;) {
      // Looked at before reading: what was written until then is read.
      const last = changes === null || changes.over();
      cursor ??= await Cursor.open(source.path, last ? query.tail : 'all');
      if (cursor) {
        for await (const line of cursor.lines()) {
          if (signal.aborted) return;
          if (until !== null && line.time > until) return;
          if (since === null || line.time >= since) yield { stream: line.stream, time: line.time, data: line.data };
        }
        const next = await cursor.successor();
        if (next) {
          // It was replaced between our last look and now; what came in meanwhile is still in it.
          for await (const line of cursor.lines()) {
            if (since === null || line.time >= since) yield { stream: line.stream, time: line.time, data: line.data };
          }
          await cursor.close();
          cursor = next;
          continue;
        }
      }
      if (signal.aborted || last || changes === null) return;
      await changes.next();
    }
  } finally {
    await cursor?.close();
  }
}

function bound(time: string | null, name: string): string | null {
  if (time === null) return null;
  const normal = normalTime(time);
  if (normal === null) throw invalid(`invalid value for "${name}": ${time} is not a time of RFC 3339`);
  return normal;
}

/** A place in a log file that is open. */
class Cursor {
  readonly #path: string;
  readonly #file: FileHandle;
  #at: number;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(path: string, file: FileHandle, at: number) {
    this.#path = path;
    this.#file = file;
    this.#at = at;
  }

  /** null when there is no file (yet) */
  static async open(path: string, tail: number | 'all'): Promise<Cursor | null> {
    let file: FileHandle;
    try {
      file = await open(path, 'r');
    } catch (error) {
      if (isNoEntry(error)) return null;
      throw error;
    }
    try {
      const { size } = await file.stat();
      return new Cursor(path, file, tail === 'all' ? 0 : await tailOffset(file, size, tail));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Up to the end of the file as it is now. A line that is not finished is kept for the next call. */
  async *lines(): AsyncGenerator<LogEntry> {
    for (;;) {
      const block = Buffer.allocUnsafe(BLOCK);
      const { bytesRead } = await this.#file.read(block, 0, BLOCK, this.#at);
      if (bytesRead === 0) return;
      this.#at += bytesRead;
      const bytes = Buffer.concat([this.#rest, block.subarray(0, bytesRead)]);
      let start = 0;
      for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
        const line = parseLine(bytes.subarray(start, end + 1));
        start = end + 1;
        if (line) yield line;
      }
      this.#rest = bytes.subarray(start);
    }
  }

  /** The file that stands in this one's place by now, from its beginning; null when this is still the one. */
  async successor(): Promise<Cursor | null> {
    try {
      const [mine, there] = await Promise.all([this.#file.stat(), stat(this.#path)]);
      if (mine.ino === there.ino && mine.dev === there.dev && mine.size >= this.#at) return null;
    } catch (error) {
      if (isNoEntry(error)) return null;
      throw error;
    }
    return Cursor.open(this.#path, 'all');
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

interface Changes extends Disposable {
  /** Nothing will be written any more. */
  readonly over: () => boolean;
  /** Resolves when something has changed since the last call, the end included. */
  readonly next: () => Promise<void>;
}

/** The directory is watched, not the file: conmon replaces it. */
function watchFile({ path, ended }: LogSource, until: string | null, signal: AbortSignal): Changes {
  mkdirSync(dirname(path), { recursive: true, mode: 0o710 });
  const name = basename(path);
  let pending = true;
  let wake = (): void => {};
  const changed = (): void => {
    pending = true;
    wake();
  };
  const watcher = watch(dirname(path), (_event, file) => {
    if (file === null || file === name) changed();
  });
  // The directory goes with its container: that is an end, too.
  watcher.on('error', changed);
  let late = false;
  const timer =
    until === null
      ? null
      : setTimeout(
          () => {
            late = true;
            changed();
          },
          Math.min(Math.max(0, Date.parse(until) - Date.now()) + 1, 2 ** 31 - 1),
        );
  for (const one of [ended, signal]) one.addEventListener('abort', changed);
  return {
    over: () => ended.aborted || signal.aborted || late,
    async next() {
      if (!pending) await new Promise<void>((resolve) => (wake = resolve));
      pending = false;
      wake = () => {};
    },
    [Symbol.dispose]() {
      watcher.close();
      if (timer) clearTimeout(timer);
      for (const one of [ended, signal]) one.removeEventListener('abort', changed);
    },
  };
}

const isNoEntry = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';
