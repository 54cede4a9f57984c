/** Looks at one scope: one after the other while somebody watches, and whenever somebody lists. */
import type { SteadyClock } from '../../base/clock.ts';
import { MoorError } from '../../base/errors.ts';
import type { Entry, Revision } from '../../contracts/store.ts';
import { pause } from '../pause.ts';
import { readPairs } from './answers.ts';
import type { Client } from './client.ts';
import { isPassing, storeFault } from './faults.ts';
import type { HttpAnswer } from './http.ts';
import type { Keys } from './keys.ts';
import { type Look, Scope } from './scope.ts';
import type { Seen } from './seen.ts';

export interface FollowerDeps {
  readonly client: Client;
  readonly keys: Keys;
  readonly clock: SteadyClock;
  readonly seen: Seen;
  /** 0 to 1. */
  readonly random: () => number;
  /** The store is closed. */
  readonly closing: AbortSignal;
}

/** How long a look waits at the server for news, in milliseconds. */
const WAIT_MS = 30_000;
/**
 * Between a look and the next: what happens meanwhile comes with it, in one answer. Half of it to all, by chance. Longer after each that
 * brought nothing new: where there is nothing below a prefix, Consul answers whenever something changes beside it.
 */
const PAUSE_MS = 20;
const PAUSE_MAX_MS = 320;
/** An answer has all below the prefix: who reads 5 KB of it pauses for a millisecond, and so spends a tenth of his time on it at most. */
const BYTES_PER_MS = 5_000;
/** After a look that failed, likewise. */
const AGAIN_MS = 400;

/** 404: there is nothing below the prefix. */
const NOTHING = 404;

export class Follower {
  readonly #name: string;
  readonly #deps: FollowerDeps;
  #scope: Scope | null = null;
  #watchers = 0;
  #idle = new AbortController();
  #usedAt: number;

  /** @param scope `scopeOf` a prefix */
  constructor(scope: string, deps: FollowerDeps) {
    this.#name = scope;
    this.#deps = deps;
    this.#usedAt = deps.clock.elapsed();
  }

  get watched(): boolean {
    return this.#watchers > 0;
  }

  /** On the steady clock. */
  get usedAt(): number {
    return this.#usedAt;
  }

  /** All entries now. The revision is at least any that this process knew before. @throws what a call throws */
  async look(action: string): Promise<Look> {
    const { client, keys, seen, clock } = this.#deps;
    this.#usedAt = clock.elapsed();
    const known = seen.newest;
    const before = this.#scope;
    const asked = before?.seen ?? 0;
    // Consistent: the leader asks the others first whether it still is.
    const call = { method: 'GET', path: `${keys.path(this.#name)}?recurse&consistent` } as const;
    const answer = await client.call(call, { action, repeatable: true, also: [NOTHING] });
    const look = this.#read(answer);
    if (look.entries.size === 0) await this.#assertAllowed(action);
    seen.note(look.revision);
    const revision = Math.max(look.revision, known);
    const scope = this.#scope;
    if (scope === null || scope !== before) {
      if (scope === null) this.#begin(look).reach(revision);
      // Another look was quicker, and saw more: history begins behind this one, so no watch could go on from it.
      else if (revision < scope.seen) return await this.look(action);
      return { ...look, revision };
    }
    if (scope.take(look) !== 'old') {
      scope.reach(revision);
    } else if (scope.seen <= asked) {
      this.goneBack(look.revision);
      seen.goneBack(look.revision);
      this.#begin(look);
      return look;
    }
    return { ...look, revision };
  }

  /** A commit has got a number that was there before. */
  goneBack(revision: Revision): void {
    this.#scope?.goneBack(revision);
    this.#scope = null;
  }

  /** This process has put an entry there. */
  wrote(key: string, revision: Revision): void {
    if (key.startsWith(this.#name)) this.#scope?.wrote(key, revision);
  }

  /** @throws CompactedError; forbidden */
  async *watch(prefix: string, from: Revision, signal: AbortSignal): ReturnType<Scope['feed']['watch']> {
    const { closing } = this.#deps;
    const either = AbortSignal.any([signal, closing]);
    if (this.#watchers++ === 0) void this.#follow();
    try {
      while (!either.aborted && (this.#scope?.seen ?? -1) < from) await this.#catchUp(prefix, from, either);
      if (this.#scope && !either.aborted) yield* this.#scope.feed.watch(prefix, from, either);
    } finally {
      this.#usedAt = this.#deps.clock.elapsed();
      if (--this.#watchers === 0) this.#stop();
    }
  }

  async #catchUp(prefix: string, from: Revision, signal: AbortSignal): Promise<void> {
    try {
      await this.look(`watch ${prefix}`);
      this.#scope?.reach(from);
    } catch (error) {
      if (!isOutage(error)) throw error;
      await this.#pause(AGAIN_MS, signal);
    }
  }

  /** Until nobody watches. */
  async #follow(): Promise<void> {
    this.#idle = new AbortController();
    const signal = AbortSignal.any([this.#idle.signal, this.#deps.closing]);
    let waitFor: Revision = 0;
    let pauseMs = PAUSE_MS;
    while (!signal.aborted) {
      try {
        const scope = this.#scope;
        if (scope === null) {
          await this.look(`watch ${this.#name}`);
          continue;
        }
        const answer = await this.#wait(waitFor, signal);
        const look = this.#read(answer);
        waitFor = look.revision;
        if (look.entries.size === 0 && !scope.empty) await this.#assertAllowed(`watch ${this.#name}`);
        if (scope !== this.#scope) continue;
        const taken = scope.take(look);
        if (taken === 'old') await this.look(`watch ${this.#name}`);
        else this.#deps.seen.note(look.revision);
        pauseMs = taken === 'nothing new' ? Math.min(pauseMs * 2, PAUSE_MAX_MS) : PAUSE_MS;
        await this.#pause(Math.max(pauseMs, answer.text.length / BYTES_PER_MS), signal);
      } catch (error) {
        if (signal.aborted) return;
        const fault = storeFault(`look at ${this.#name}`, error);
        if (!isOutage(fault) && !isPassing(error)) {
          this.#scope?.feed.fail(fault);
          this.#scope = null;
        }
        waitFor = 0;
        await this.#pause(AGAIN_MS, signal);
      }
    }
  }

  /** Whom Consul does not let read a key it tells that there is none, in lists. Asked for one key it says so. @throws MoorError forbidden */
  async #assertAllowed(action: string): Promise<void> {
    const { client, keys } = this.#deps;
    await client.call({ method: 'GET', path: keys.markPath }, { action, repeatable: true, also: [NOTHING] });
  }

  #stop(): void {
    this.#idle.abort();
  }

  /** @param after the index that an answer must be newer than; 0: at once */
  #wait(after: Revision, signal: AbortSignal): Promise<HttpAnswer> {
    const { client, keys } = this.#deps;
    const path = `${keys.path(this.#name)}?recurse&index=${after}&wait=${WAIT_MS}ms`;
    return client.wait({ method: 'GET', path }, { waitMs: WAIT_MS, also: [NOTHING] }, signal);
  }

  #read({ status, index, text }: HttpAnswer): Look {
    const entries = new Map<string, Entry>();
    for (const { key, value, modifyIndex, session } of status === NOTHING ? [] : readPairs(text)) {
      const short = this.#deps.keys.short(key);
      if (short === null || !short.startsWith(this.#name)) continue;
      entries.set(short, { key: short, value, revision: modifyIndex, ...(session === null ? {} : { leased: true }) });
    }
    // An index below 1 would make the next query return at once, for ever.
    return { entries, revision: Math.max(1, index) };
  }

  #begin(look: Look): Scope {
    this.#scope = new Scope(look);
    return this.#scope;
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return pause(ms * (0.5 + this.#deps.random() / 2), signal);
  }
}

const isOutage = (error: unknown): boolean => error instanceof MoorError && ['unavailable', 'timeout'].includes(error.kind);
