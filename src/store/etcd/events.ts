/** Puts the events of a watch in order of commits: what a server sends in pieces, or a second time after a reconnection. */
import type { Revision, StoreEvent } from '../../contracts/store.ts';
import { EVENT_DELETE, type EventMessage, type WatchMessage } from './api.ts';
import { type Keys, valueText } from './keys.ts';

export class Events {
  readonly #keys: Keys;
  #seen: Revision;
  /** Of the newest revision, while more of it may come. */
  #held: EventMessage[] = [];

  /** @param seen everything up to here has been told */
  constructor(keys: Keys, seen: Revision) {
    this.#keys = keys;
    this.#seen = seen;
  }

  /** A watch begun after this revision misses nothing and repeats nothing. */
  get seen(): Revision {
    return this.#seen;
  }

  /** The connection is gone, and with it the rest of a revision that had come in part: it will all come again. */
  interrupt(): void {
    this.#held = [];
  }

  /** @returns whole commits that are new, in order. */
  take(message: WatchMessage): readonly StoreEvent[] {
    const events = [...this.#held, ...message.events].filter(({ kv }) => kv !== undefined && kv.modRevision > this.#seen);
    const newest = events.at(-1)?.kv?.modRevision ?? this.#seen;
    this.#held = message.fragment ? events.filter(({ kv }) => kv?.modRevision === newest) : [];
    const whole = message.fragment ? events.filter(({ kv }) => kv?.modRevision !== newest) : events;
    this.#seen = whole.at(-1)?.kv?.modRevision ?? this.#seen;
    /*
     * Nothing to tell, for this watch: a progress notification, sent only when all up to its revision has been told. It lets the watch
     * survive a compaction although nothing has changed below its prefix. The answer to a request for progress (watch -1) is no such
     * promise before etcd 3.4.25 (github.com/etcd-io/etcd/issues/15220).
     */
    const notified =
      message.events.length === 0 && message.watchId >= 0 && !message.created && !message.canceled && !message.fragment;
    if (notified) this.#seen = Math.max(this.#seen, message.header?.revision ?? 0);
    return whole.flatMap(({ type, kv }) => {
      const key = kv ? this.#keys.short(kv.key) : null;
      if (!kv || key === null) return [];
      return { key, value: type === EVENT_DELETE ? null : valueText(kv.value), revision: kv.modRevision };
    });
  }
}
