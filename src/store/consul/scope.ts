/**
 * What this process has seen of one part of the store. Consul keeps no history and has no watch: a query that waits answers with all
 * entries below a prefix. Changes are what differs between two such looks. Of several changes to a key between them the last is told;
 * an entry that is missing was deleted, some time before the look that misses it, whose index is the deletion's revision here.
 */
import { CompactedError, type Entry, type Revision, type StoreEvent } from '../../contracts/store.ts';
import { Feed } from '../feed.ts';

/** All entries of the scope at one moment. */
export interface Look {
  readonly entries: ReadonlyMap<string, Entry>;
  /**
   * Everything up to it is in the entries. Of the scope alone, so it may be lower than before although nothing went back: Consul forgets
   * the index of a deletion after a quarter of an hour (tombstone_ttl).
   */
  readonly revision: Revision;
}

/** `old`: it shows something older than was seen. Another look overtook it, or a server lags. */
export type Taken = 'news' | 'nothing new' | 'old';

/** Changes kept for watches that are behind. */
const HISTORY = 4_096;

export class Scope {
  /** Of the keys alone: who watches has the values. */
  #known: Map<string, Revision>;
  /** Everything up to here has been told. */
  #seen: Revision;
  /** Written by this process, and in no look yet. */
  readonly #written = new Map<string, Revision>();
  readonly feed: Feed;

  constructor(first: Look) {
    this.#known = revisions(first);
    this.#seen = first.revision;
    this.feed = new Feed(first.revision, HISTORY);
  }

  get empty(): boolean {
    return this.#known.size === 0;
  }

  get seen(): Revision {
    return this.#seen;
  }

  take({ entries, revision }: Look): Taken {
    const changed = [...entries.values()].filter((entry) => this.#known.get(entry.key) !== entry.revision);
    const gone = [...this.#known.keys()].filter((key) => !entries.has(key));
    const old = changed.some((entry) => entry.revision <= this.#seen || entry.revision > revision);
    if (changed.length + gone.length > 0 && (old || revision <= this.#seen)) return 'old';
    const missed = this.#writtenBy(revision).filter((key) => !entries.has(key) && !this.#known.has(key));
    this.#seen = Math.max(this.#seen, revision);
    if (changed.length + gone.length + missed.length === 0) return 'nothing new';
    const events: StoreEvent[] = changed.map(({ key, value, revision: at }) => ({ key, value, revision: at }));
    events.sort((one, two) => one.revision - two.revision || (one.key < two.key ? -1 : 1));
    events.push(...[...gone, ...missed].sort().map((key) => ({ key, value: null, revision: this.#seen })));
    for (const { key, revision: at } of changed) this.#known.set(key, at);
    for (const key of gone) this.#known.delete(key);
    this.feed.append(this.#seen, events);
    return 'news';
  }

  /**
   * This process has put an entry there. Should it be gone before a look shows it, who watches is told that it is gone: nobody is told of what others
   * make and remove between two looks, but this process knows of the entry from its own writing.
   */
  wrote(key: string, revision: Revision): void {
    this.#written.set(key, revision);
  }

  /** What a look of that revision would show, if it were still there. */
  #writtenBy(revision: Revision): readonly string[] {
    const keys = [...this.#written].flatMap(([key, at]) => (at <= revision ? [key] : []));
    for (const key of keys) this.#written.delete(key);
    return keys;
  }

  /** What is written from now on is newer than this: the last look was asked for when somebody had it already. */
  reach(revision: Revision): void {
    this.#seen = Math.max(this.#seen, revision);
  }

  /** The store is behind what was seen: what is written now has numbers that look old. */
  goneBack(revision: Revision): void {
    this.feed.fail(new CompactedError(`the store has gone back to ${revision}, list again`));
  }
}

const revisions = ({ entries }: Look): Map<string, Revision> =>
  new Map([...entries.values()].map(({ key, revision }) => [key, revision]));
