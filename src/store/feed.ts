/**
 * The recent changes of a store in this process, and the watchers that read them. A watcher holds no queue, only the
 * place up to which it has seen them, so a slow one costs nothing: it is told `compacted` when the history has moved past it.
 */
import { MoorError } from '../base/errors.ts';
import { CompactedError, type Revision, type StoreEvent } from '../contracts/store.ts';

/** Changes kept by default. With values of 1 to 2 KB this is about 2 MB. */
export const HISTORY_CHANGES = 1024;

interface Batch {
  readonly revision: Revision;
  readonly events: readonly StoreEvent[];
}

export class Feed {
  readonly #limit: number;
  /** In order of revision; together all that changed after `#floor`. */
  #batches: Batch[] = [];
  /** Batches that are forgotten. */
  #dropped = 0;
  #count = 0;
  #floor: Revision;
  #latest: Revision;
  /** Why every watch ends. */
  #ended: MoorError | null = null;
  readonly #waiting = new Set<() => void>();

  /** @param start revision of the state before the first `append`. @param limit changes to keep. */
  constructor(start: Revision, limit: number) {
    this.#floor = start;
    this.#latest = start;
    this.#limit = limit;
  }

  /** Revision of the last change. */
  get latest(): Revision {
    return this.#latest;
  }

  /** A watch from before it would miss something. */
  get floor(): Revision {
    return this.#floor;
  }

  /**
   * @param revision everything up to it is told with this, or with one of the same revision that follows
   * @param events never empty, of one commit, or of several in order of revision: watchers get them together
   */
  append(revision: Revision, events: readonly StoreEvent[]): void {
    this.#batches.push({ revision, events });
    this.#count += events.length;
    this.#latest = revision;
    // The newest commit always stays, however large it is.
    let drop = 0;
    while (this.#count > this.#limit && drop < this.#batches.length - 1) {
      const batch = this.#batches[drop++];
      if (!batch) break;
      this.#count -= batch.events.length;
      this.#floor = batch.revision;
    }
    if (drop > 0) this.#batches = this.#batches.slice(drop);
    this.#dropped += drop;
    this.#wake();
  }

  /** Ends every watch with `unavailable`. */
  close(): void {
    this.fail(new MoorError('unavailable', 'the store is closed'));
  }

  /** Ends every watch, present and later, with an error of this kind, when it has been told what came before. */
  fail(reason: MoorError): void {
    this.#ended ??= reason;
    this.#wake();
  }

  async *watch(prefix: string, from: Revision, signal: AbortSignal): AsyncGenerator<readonly StoreEvent[], void, void> {
    const forgotten = (seen: Revision): CompactedError =>
      new CompactedError(`cannot watch ${prefix} from revision ${seen}: compacted up to ${this.#floor}, list again`);
    const news = (event: StoreEvent): boolean => event.revision > from && event.key.startsWith(prefix);
    if (from < this.#floor && !signal.aborted) throw forgotten(from);
    let next = this.#after(from);
    let seen = from;
    while (!signal.aborted) {
      if (next < this.#dropped) throw forgotten(seen);
      const events = this.#batches.slice(next - this.#dropped).flatMap((batch) => batch.events.filter(news));
      next = this.#dropped + this.#batches.length;
      seen = Math.max(seen, this.#latest);
      if (events.length > 0) yield events;
      else if (this.#ended) throw endOf(prefix, this.#ended);
      else await this.#change(signal);
    }
  }

  /** Place of the first batch that is newer. */
  #after(revision: Revision): number {
    let low = 0;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#batches[middle]?.revision ?? 0) > revision) high = middle;
      else low = middle + 1;
    }
    return this.#dropped + low;
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      signal.addEventListener('abort', done, { once: true });
      this.#waiting.add(done);
    });
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done();
  }
}

function endOf(prefix: string, reason: MoorError): MoorError {
  const text = `cannot watch ${prefix}: ${reason.message}`;
  return reason instanceof CompactedError ? new CompactedError(text) : new MoorError(reason.kind, text, { cause: reason });
}
