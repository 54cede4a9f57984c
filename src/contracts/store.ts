/**
 * Durable state: SQLite on one host; etcd, Consul, ZooKeeper on many. Keys are paths (`network/<id>`), values are text.
 * Every implementation passes test/conformance/store.ts.
 */

/** Opaque and ordered within one store: SQLite rowid, etcd mod_revision, Consul ModifyIndex, ZooKeeper zxid. */
export type Revision = number & { readonly __revision?: never };

export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly revision: Revision;
}

/** A condition on the present entry: exactly this revision, or that there is none. */
export type Expect = Revision | 'absent';

export type Write =
  | { readonly type: 'put'; readonly key: string; readonly value: string; readonly expect?: Expect; readonly lease?: Lease }
  | { readonly type: 'delete'; readonly key: string; readonly expect?: Revision };

export interface Lease extends AsyncDisposable {
  readonly id: string;
  /** Aborts when the lease has run out or was taken away: entries under it are gone, or soon will be. */
  readonly lost: AbortSignal;
}

/** Entries below a prefix at one revision. */
export interface Listing {
  readonly entries: readonly Entry[];
  readonly revision: Revision;
}

/** One change, in order. `value: null`: deleted. */
export interface StoreEvent {
  readonly key: string;
  readonly value: string | null;
  readonly revision: Revision;
}

export interface Store extends AsyncDisposable {
  readonly get: (key: string) => Promise<Entry | null>;
  /** In key order. */
  readonly list: (prefix: string) => Promise<Listing>;
  /**
   * All of it or nothing, on disk when the promise resolves. @returns the revision of the writes.
   * @throws conflict when an expectation fails, naming the key. Deleting what is absent is no error.
   */
  readonly commit: (writes: readonly Write[]) => Promise<Revision>;
  /**
   * Every change below the prefix after `from`, in order, without gaps, until the signal aborts.
   * @throws unavailable with `compacted` in the message when `from` is too old: list again.
   */
  readonly watch: (prefix: string, from: Revision, signal: AbortSignal) => AsyncIterable<readonly StoreEvent[]>;
  /** @param ttlMs after which entries put under the lease vanish unless this process renews it, which it does by itself. */
  readonly lease: (ttlMs: number) => Promise<Lease>;
}
