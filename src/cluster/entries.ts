/**
 * The entries of a store as they were told, each read once. A text that cannot be read is passed over; where a good one was known before,
 * that stays.
 */
import type { Entry, Listing, Revision, StoreEvent } from '../contracts/store.ts';

export interface Held<T> {
  /** null: removed by this process; the watch has not told yet. */
  readonly text: string | null;
  readonly revision: Revision;
  /** null: never readable. */
  readonly thing: T | null;
  /** Written by this process; the watch has not told yet. */
  readonly local: boolean;
}

export interface EntriesDeps<T> {
  /** @returns null when it cannot be read; whoever reads tells of it. */
  readonly read: (key: string, text: string) => T | null;
  readonly became: (key: string, thing: T) => void;
  readonly left: (key: string, thing: T) => void;
  /** The entry of this thing has been written, with whatever. */
  readonly touched: (thing: T) => void;
}

export class Entries<T> {
  readonly #deps: EntriesDeps<T>;
  readonly #held = new Map<string, Held<T>>();

  constructor(deps: EntriesDeps<T>) {
    this.#deps = deps;
  }

  /** Everything there is below the prefix. What this process has written since the listing was made stays. */
  reset({ entries, revision }: Listing, prefix = ''): void {
    const present = new Set(entries.map(({ key }) => key));
    for (const [key, { local, revision: at }] of this.#held) {
      if (key.startsWith(prefix) && !present.has(key) && !(local && at > revision)) this.#drop(key);
    }
    for (const { key, value, revision: at } of entries) {
      const held = this.#held.get(key);
      if (held?.local && held.revision > at) continue;
      this.#put(key, value, { revision: at, local: false });
    }
  }

  apply(events: readonly StoreEvent[]): void {
    for (const { key, value, revision } of events) {
      const held = this.#held.get(key);
      // A revision that is not newer was told already.
      if (held && (held.local ? revision < held.revision : revision <= held.revision)) continue;
      if (value === null) this.#drop(key);
      else this.#put(key, value, { revision, local: false });
    }
  }

  /** Written by this process, before the watch tells: whoever asks next sees it. `null`: removed. */
  wrote(key: string, value: string | null, revision: Revision): void {
    if ((this.#held.get(key)?.revision ?? 0) >= revision) return;
    if (value !== null) return this.#put(key, value, { revision, local: true });
    this.#drop(key);
    this.#held.set(key, { text: null, revision, thing: null, local: true });
  }

  get(key: string): Held<T> | null {
    return this.#held.get(key) ?? null;
  }

  /** Somebody has this key, readable or not. */
  has(key: string): boolean {
    return (this.#held.get(key)?.text ?? null) !== null;
  }

  *things(): Iterable<{ readonly key: string; readonly thing: T; readonly revision: Revision }> {
    for (const [key, { thing, revision }] of this.#held) if (thing) yield { key, thing, revision };
  }

  /** Readable ones, as they would be listed. */
  list(): readonly Entry[] {
    return [...this.#held].flatMap(([key, { text, revision, thing }]) =>
      text !== null && thing ? { key, value: text, revision } : [],
    );
  }

  #put(key: string, text: string, { revision, local }: { readonly revision: Revision; readonly local: boolean }): void {
    const before = this.#held.get(key);
    if (before?.text === text && before.thing) {
      this.#held.set(key, { ...before, revision, local });
      if (before.revision !== revision) this.#deps.touched(before.thing);
      return;
    }
    const thing = this.#deps.read(key, text);
    const good = thing ?? before?.thing ?? null;
    this.#held.set(key, { text: thing === null && before?.thing ? before.text : text, revision, thing: good, local });
    if (before?.thing) this.#deps.touched(before.thing);
    if (good) this.#deps.touched(good);
    if (thing) this.#deps.became(key, thing);
  }

  #drop(key: string): void {
    const before = this.#held.get(key);
    if (!before) return;
    this.#held.delete(key);
    if (before.thing === null) return;
    this.#deps.touched(before.thing);
    this.#deps.left(key, before.thing);
  }
}
