/** Looks at the ways to other hosts, on a thread of its own. What it found is kept, so that a restart begins with it. Loaded late. */
import { release } from 'node:os';
import { SHARE_ENV, Worker } from 'node:worker_threads';
import type { Logger } from '../base/clock.ts';
import { errorData } from '../base/errors.ts';
import { type IpAddress, isIp, parseIp } from '../base/ip.ts';
import type { Paths, PathTargets } from '../contracts/paths.ts';
import type { PathReport } from '../model/node.ts';
import { openEvent, signalEvent } from '../sys/poll.ts';
import type { FromPaths, PathsWorkerData, ToPaths } from './protocol.ts';

/** Megabytes. 10,000 hosts are some 5. */
const HEAP = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 };
/** Milliseconds until the thread is started again when it has failed. */
const AGAIN_MS = 10_000;

interface Kept {
  readonly paths: Readonly<Record<string, PathReport>>;
  /** Kernel under which checksums were found broken: with another one they may not be. '' = they were not. */
  readonly broken: string;
}

export interface PathsOptions {
  readonly logger: Logger;
  /** What `keep` was last given, also by an earlier life; null: nothing. */
  readonly kept: string | null;
  readonly keep: (text: string) => Promise<void>;
}

export function openPaths({ logger, kept, keep }: PathsOptions): Paths {
  const before = readKept(kept);
  const known = new Map(before.paths);
  let broken = before.broken;
  const listeners = new Set<() => void>();
  const event = openEvent();
  let targets: PathTargets = { paths: [], vteps: [] };
  let wanted = '';
  let closed = false;
  let worker: Worker | null = null;
  let ended: Promise<void> = Promise.resolve();
  let again: NodeJS.Timeout | undefined;
  let keptText = kept ?? EMPTY;
  let writing: Promise<void> = Promise.resolve();

  const post = (message: ToPaths): void => {
    worker?.postMessage(message);
    signalEvent(event);
  };
  // The thread sleeps in a system call: a process that ends would wait for it for ever.
  const halt = (): void => post({ type: 'stop' });

  /** Only what takes less is worth a row: all else is found out again before anybody misses it. */
  const write = (): void => {
    const small = [...known].filter(([, { asked, mtu }]) => mtu !== null && mtu < asked);
    const text = JSON.stringify({ paths: Object.fromEntries(small), broken: broken ? release() : '' } satisfies Kept);
    if (text === keptText) return;
    keptText = text;
    writing = writing
      .then(() => keep(text))
      .catch((error: unknown) => logger.error({ err: error }, 'could not keep what is known of paths'));
  };

  const take = (message: FromPaths): void => {
    switch (message.type) {
      case 'trouble':
        logger.warn({ reason: message.error.message }, `paths to other hosts cannot be looked at: ${message.error.message}`);
        return;
      case 'path':
        known.set(message.address, message.report);
        write();
        break;
      case 'checksums':
        if (message.report !== 'broken' || broken) return;
        broken = true;
        logger.warn(
          { address: message.address },
          `UDP to ${message.address} through VXLAN arrives with a wrong checksum when that is left to a network card: checksums are made before from now on`,
        );
        write();
        break;
    }
    for (const listener of listeners) listener();
  };

  const begin = (): void => {
    const workerData: PathsWorkerData = { event: event.number, known: Object.fromEntries(known) };
    const thread = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData,
      name: 'moor-paths',
      env: SHARE_ENV,
      execArgv: [],
      resourceLimits: HEAP,
    });
    worker = thread;
    const over = Promise.withResolvers<void>();
    ended = over.promise;
    process.on('exit', halt);
    thread.on('message', take);
    thread.on('error', (error) => logger.error({ reason: errorData(error).message }, 'the thread that looks at paths failed'));
    thread.on('exit', () => {
      process.off('exit', halt);
      worker = null;
      if (!closed) again = setTimeout(begin, AGAIN_MS).unref();
      over.resolve();
    });
    post({ type: 'want', targets });
  };

  return {
    want(next) {
      const text = JSON.stringify(next);
      if (text === wanted || closed) return;
      wanted = text;
      targets = next;
      const current = new Set(next.paths.map(({ address }) => address));
      for (const address of known.keys()) if (!current.has(address)) known.delete(address);
      if (worker !== null) post({ type: 'want', targets });
      // A host without peers has no such thread.
      else if (again === undefined && next.paths.length > 0) begin();
    },
    reports: () => [...known],
    broken: () => broken,
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      clearTimeout(again);
      if (worker !== null) halt();
      await ended;
      event.close();
      await writing;
    },
  };
}

const EMPTY = JSON.stringify({ paths: {}, broken: '' } satisfies Kept);

/** It is our own; this finds damage. */
function readKept(text: string | null): {
  readonly paths: readonly (readonly [IpAddress, PathReport])[];
  readonly broken: boolean;
} {
  try {
    const { paths, broken } = JSON.parse(text ?? EMPTY) as Kept;
    const usable = Object.entries(paths).flatMap(([address, { asked, mtu }]): (readonly [IpAddress, PathReport])[] =>
      isIp(address) && Number.isInteger(asked) && Number.isInteger(mtu)
        ? [[parseIp(address), { state: 'small', asked, mtu }]]
        : [],
    );
    return { paths: usable, broken: broken === release() };
  } catch {
    return { paths: [], broken: false };
  }
}
