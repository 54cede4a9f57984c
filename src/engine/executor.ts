/**
 * Carries out plans. What a plan makes is stored while it is applied, and acknowledged when both are done; when a change fails, the others
 * are undone newest first, and the rows are deleted (docs/adr/0007). A plan that unmakes something is decided by the commit that deletes
 * the object and journals the removal; what then fails does not stop the rest. After a crash what is stored is made whole by the first
 * comparison with the kernel, and the journal says what to finish, so the kernel and the store agree again whatever the moment was.
 */
import type { Logger } from '../base/clock.ts';
import { type ErrorData, errorData, errorFrom, MoorError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Change, Plan } from '../contracts/change.ts';
import { describe } from '../contracts/describe.ts';
import { inversePlan } from '../contracts/inverse.ts';
import type { Applied, Kernel } from '../contracts/kernel.ts';
import type { Store, Write } from '../contracts/store.ts';
import { deleteKey, journalKey, type JournalRow, putJournal } from './records.ts';
import { Removals } from './removals.ts';

/** A change that did not work, with the reason. */
export interface Failure {
  readonly change: Change;
  readonly error: ErrorData;
}

/** What has to work beside a plan, or the plan is undone. */
interface Also {
  readonly beside?: () => Promise<void>;
  readonly after?: () => Promise<void>;
}

export class Executor {
  readonly #kernel: Kernel;
  readonly #store: Store;
  readonly #logger: Logger;
  readonly #removals: Removals;
  /** Rows that say nothing any more. The next commit of anybody deletes them, before its own plan is applied. */
  #spent = new Set<string>();

  constructor({ kernel, store, logger }: { readonly kernel: Kernel; readonly store: Store; readonly logger: Logger }) {
    this.#kernel = kernel;
    this.#store = store;
    this.#logger = logger;
    this.#removals = new Removals(kernel);
  }

  /**
   * @param writes what to store with it: new rows only. None: the plan belongs to what is stored already, and is journaled.
   * @param also what has to work, too: once all changes are made, or at the same time where it needs none of them
   * @throws the first change's error, with the changes undone; what could not be undone is named in the message.
   */
  async make(plan: Plan, writes: readonly Write[], also: Also = {}): Promise<void> {
    const { beside = nothing, after = nothing } = also;
    if (plan.changes.length === 0) {
      await this.commit(writes);
      await beside();
      await after();
      return;
    }
    const rows = writes.length > 0 ? writes : [putJournal(journalKey(newId()), { type: 'make', ...plan })];
    let applied: readonly Applied[] | undefined;
    try {
      // Side by side: should we die now, what is stored is made, and what was made and is not stored carries our mark, so it is swept.
      const making = this.#kernel.apply(plan.changes).then(async (results) => {
        applied = results;
        if (failures(plan.changes, results).length === 0) await after();
        return results;
      });
      const storing = this.commit(rows);
      // Behind the store's message, which goes off in a microtask: who is woken may take this thread's CPU, and the disk takes longest.
      const working = Promise.resolve().then(beside);
      const [made, ...others] = await Promise.allSettled([making, storing, working]);
      if (made.status === 'rejected') throw made.reason;
      const failure = failures(plan.changes, made.value)[0];
      if (failure !== undefined) throw errorFrom(failure.error);
      for (const other of others) if (other.status === 'rejected') throw other.reason;
      if (writes.length === 0) await this.commit(rows.map(({ key }) => deleteKey(key)));
    } catch (error) {
      const left = await this.undo(plan.changes, applied);
      // Also those of a commit that reported a failure: it may have reached the disk all the same.
      for (const { key } of rows) this.#spent.add(key);
      await this.#flush();
      throw withLeftovers(error, left);
    }
  }

  /**
   * @param writes what to store when the removal is decided.
   * @param restore what to store when nothing at all could be removed.
   * @returns what could not be removed while the rest was; a later sweep tries again.
   * @throws the first change's error when nothing could be removed: then everything is as before.
   */
  async unmake(
    plan: Plan,
    { writes, restore }: { readonly writes: readonly Write[]; readonly restore: readonly Write[] },
  ): Promise<Failure[]> {
    if (plan.changes.length === 0) {
      await this.commit(writes);
      return [];
    }
    const key = journalKey(newId());
    await this.commit([...writes, putJournal(key, { type: 'unmake', ...plan })]);
    let failed: Failure[];
    try {
      const applied = await this.#removals.apply(plan.changes);
      failed = failures(plan.changes, applied);
      if (failed[0] !== undefined && !applied.some(({ state }) => state === 'changed')) throw errorFrom(failed[0].error);
    } catch (error) {
      await this.commit([...restore, deleteKey(key)]);
      throw error;
    }
    for (const failure of failed) {
      this.#logger.error({ change: failure.change, error: failure.error }, `could not undo: ${describe(failure.change)}`);
    }
    // Acknowledged now: the row costs no extra write to disk, because it goes with the next commit, and re-applying it is harmless.
    this.#spent.add(key);
    return failed;
  }

  /**
   * Undoes what was changed, newest first.
   * @param applied unknown (undefined) undoes everything; then what is not there at all had not been made yet.
   * @returns what remained.
   */
  async undo(changes: readonly Change[], applied: readonly Applied[] | undefined): Promise<Failure[]> {
    const undo = inversePlan(changes, applied);
    if (undo.length === 0) return [];
    try {
      const left = failures(undo, await this.#kernel.apply(undo, { keepGoing: true })).filter(
        ({ error }) => applied !== undefined || error.kind !== 'not-found',
      );
      for (const { change, error } of left) this.#logger.error({ change, error }, `could not undo: ${describe(change)}`);
      return left;
    } catch (error) {
      this.#logger.error({ err: error }, 'could not undo a plan');
      return undo.map((change) => ({ change, error: errorData(error) }));
    }
  }

  /** Reverts or finishes what a journal row says; the row goes with the next commit. */
  async recover(key: string, row: JournalRow): Promise<void> {
    this.#logger.warn({ key, type: row.type }, `${row.type === 'make' ? 'reverting' : 'finishing'} after a crash: ${row.title}`);
    if (row.type === 'make') await this.undo(row.changes, undefined);
    else {
      for (const { change, error } of failures(row.changes, await this.#kernel.apply(row.changes, { keepGoing: true }))) {
        this.#logger.error({ change, error }, `could not finish: ${describe(change)}`);
      }
    }
    this.#spent.add(key);
  }

  async commit(writes: readonly Write[]): Promise<void> {
    const spent = this.#spent;
    this.#spent = new Set();
    try {
      // A key is written once: what is put now is not spent any more.
      const keys = new Set(writes.map((write) => write.key));
      const all = [...[...spent].filter((key) => !keys.has(key)).map(deleteKey), ...writes];
      if (all.length > 0) await this.#store.commit(all);
    } catch (error) {
      for (const key of spent) this.#spent.add(key);
      throw error;
    }
  }

  /** Deletes spent rows now, if the store lets us; if not they stay for the next commit. */
  async #flush(): Promise<void> {
    try {
      await this.commit([]);
    } catch (error) {
      this.#logger.error({ err: error }, 'could not delete journal rows');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#flush();
  }
}

const nothing = async (): Promise<void> => {};

export function failures(changes: readonly Change[], applied: readonly Applied[]): Failure[] {
  return applied.flatMap((result, i) => {
    const change = changes[i];
    return result.state === 'failed' && change !== undefined ? [{ change, error: result.error }] : [];
  });
}

/** The original error; when something could not be undone, its message says what. */
function withLeftovers(error: unknown, left: readonly Failure[]): unknown {
  if (left.length === 0) return error;
  const { kind, message, kernel } = errorData(error);
  const what = left.map((failure) => `${describe(failure.change)} (${failure.error.message})`).join('; ');
  return new MoorError(kind, `${message}; not undone: ${what}`, { cause: error, ...(kernel ? { kernel } : {}) });
}
