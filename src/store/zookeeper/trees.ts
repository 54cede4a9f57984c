/** The parts of the store that somebody lists and watches, each kept up to date while somebody watches. */
import type { SteadyClock } from '../../base/clock.ts';
import type { MoorError } from '../../base/errors.ts';
import type { Revision, StoreEvent } from '../../contracts/store.ts';
import { pause } from '../pause.ts';
import type { Connection } from './connection.ts';
import { isPassing, storeFault } from './faults.ts';
import type { Line } from './line.ts';
import { type Paths, scopeOf } from './paths.ts';
import { Tree } from './tree.ts';

export interface TreesDeps {
  readonly line: Line;
  readonly paths: Paths;
  readonly clock: SteadyClock;
  /** 0 to 1. */
  readonly random: () => number;
  readonly timeoutMs: number;
  /** The store is closed. */
  readonly closing: AbortSignal;
}

interface Kept {
  readonly tree: Tree;
  watchers: number;
  /** On the steady clock. */
  usedAt: number;
  idle: AbortController;
}

/** Parts that nobody watches, kept for a watch that begins where a listing was. */
const KEPT = 64;
/** After a failure, half of it to all, by chance. */
const AGAIN_MS = 400;

export class Trees {
  readonly #deps: TreesDeps;
  readonly #kept = new Map<string, Kept>();
  readonly #hearing = new WeakSet<Connection>();

  constructor(deps: TreesDeps) {
    this.#deps = deps;
  }

  of(scope: string): Tree {
    return this.#get(scope).tree;
  }

  /** @throws CompactedError; forbidden; unsupported */
  async *watch(prefix: string, from: Revision, signal: AbortSignal): AsyncGenerator<readonly StoreEvent[], void, void> {
    const kept = this.#get(scopeOf(prefix));
    const either = AbortSignal.any([signal, this.#deps.closing]);
    if (kept.watchers++ === 0) this.#follow(kept);
    try {
      while (!either.aborted) {
        await this.#ready(kept, prefix, { from, signal: either });
        const { feed } = kept.tree;
        // It may have gone back in this turn.
        if (feed === null || either.aborted) continue;
        yield* feed.watch(prefix, from, either);
        return;
      }
    } finally {
      kept.usedAt = this.#deps.clock.elapsed();
      if (--kept.watchers === 0) kept.idle.abort();
    }
  }

  #get(scope: string): Kept {
    const { clock, paths, timeoutMs } = this.#deps;
    const known = this.#kept.get(scope);
    if (known) {
      known.usedAt = clock.elapsed();
      return known;
    }
    const unwatched = [...this.#kept]
      .filter(([, { watchers }]) => watchers === 0)
      .sort(([, one], [, two]) => one.usedAt - two.usedAt);
    for (const [name, { tree }] of unwatched.slice(0, Math.max(0, unwatched.length - KEPT + 1))) {
      this.#kept.delete(name);
      tree.leave();
    }
    const tree = new Tree(scope, { paths, timeoutMs, hear: (connection) => this.#hear(connection) });
    const kept: Kept = { tree, watchers: 0, usedAt: clock.elapsed(), idle: new AbortController() };
    this.#kept.set(scope, kept);
    return kept;
  }

  /** Until there is a feed that reaches `from`: a server that is away is waited for. */
  async #ready(
    { tree }: Kept,
    prefix: string,
    { from, signal }: { readonly from: Revision; readonly signal: AbortSignal },
  ): Promise<void> {
    while (!signal.aborted && (tree.feed === null || tree.seen < from)) {
      try {
        const connection = await this.#deps.line.get(Number.POSITIVE_INFINITY, signal);
        await tree.list(connection);
        tree.reach(from);
      } catch (error) {
        if (signal.aborted) return;
        if (!isPassing(error)) throw storeFault(`watch ${prefix}`, error);
        await this.#pause(signal);
      }
    }
  }

  /** Over each connection anew, until nobody watches. */
  #follow(kept: Kept): void {
    kept.idle = new AbortController();
    const signal = AbortSignal.any([kept.idle.signal, this.#deps.closing]);
    void (async () => {
      while (!signal.aborted) {
        try {
          const connection = await this.#deps.line.get(Number.POSITIVE_INFINITY, signal);
          await kept.tree.join(connection);
          await aborted(AbortSignal.any([connection.closed, signal]));
        } catch (error) {
          if (signal.aborted) return;
          if (!isPassing(error)) kept.tree.fail(fault(error));
          await this.#pause(signal);
        }
      }
    })();
  }

  #hear(connection: Connection): void {
    if (this.#hearing.has(connection)) return;
    this.#hearing.add(connection);
    connection.onEvent(({ path }) => {
      const key = this.#deps.paths.key(path);
      if (key !== null) for (const { tree } of this.#kept.values()) tree.touch(connection, key);
    });
  }

  #pause(signal: AbortSignal): Promise<void> {
    return pause(AGAIN_MS * (0.5 + this.#deps.random() / 2), signal);
  }
}

const fault = (error: unknown): MoorError => storeFault('follow the changes', error);

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) return done();
    signal.addEventListener('abort', () => done(), { once: true });
  });
}
