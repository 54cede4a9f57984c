/** Tells when one of some files may have become another one: also one that is a symbolic link, is replaced whole, or comes and goes. */
import { type FSWatcher, lstatSync, readlinkSync, watch } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import type { Logger } from '../../base/clock.ts';

/** Milliseconds: an editor writes a file in several steps. */
const SETTLE = 50;
/** path_resolution(7): the kernel follows at most so many links. */
const LINKS_MAX = 40;

/** @param changed called once for several changes that come together */
export function watchFiles(paths: readonly string[], changed: () => void, logger: Logger): Disposable {
  let watchers: readonly FSWatcher[] = [];
  let timer: NodeJS.Timeout | undefined;
  const notice = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      // Anew, for the names may lead elsewhere by now.
      close();
      open();
      changed();
    }, SETTLE).unref();
  };
  const open = (): void => {
    watchers = paths.flatMap(chainOf).flatMap((path) => [
      // A file that is replaced is noticed in its folder; one that is mounted there, and written to, only by itself.
      ...start(dirname(path), (name) => (name === null || name === basename(path) ? notice() : undefined), logger),
      ...start(path, notice, logger),
    ]);
  };
  const close = (): void => {
    for (const watcher of watchers) watcher.close();
    watchers = [];
  };
  open();
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      close();
    },
  };
}

/** A path and what it leads to, link by link; the last one need not exist. */
function chainOf(path: string): readonly string[] {
  const chain = [path];
  for (let at = path; chain.length <= LINKS_MAX; chain.push(at)) {
    try {
      if (!lstatSync(at).isSymbolicLink()) break;
      at = resolve(dirname(at), readlinkSync(at));
    } catch {
      break;
    }
  }
  return chain;
}

function start(path: string, listener: (name: string | null) => void, logger: Logger): readonly FSWatcher[] {
  try {
    const watcher = watch(path, { persistent: false }, (_, name) => listener(name));
    watcher.on('error', (error) => logger.warn({ err: error }, `cannot watch ${path} any more`));
    return [watcher];
  } catch (error) {
    // What is not there cannot be watched; its folder is, or the one above says when that comes.
    const gone = error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
    if (!gone) logger.warn({ err: error }, `cannot watch ${path}: it is looked at once a minute`);
    return [];
  }
}
