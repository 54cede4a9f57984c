/**
 * Durable state: SQLite on one host; etcd, Consul, ZooKeeper on many. Keys are paths (`network/<id>`), values are text.
 * Every implementation passes test/conformance/store.ts.
 */
import { MoorError } from '../base/errors.ts';

/** Opaque and ordered within one store: SQLite rowid, etcd mod_revision, Consul ModifyIndex, ZooKeeper zxid. */
export type Revision = number & { readonly __revision?: never };

export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly revision: Revision;
  /** It is under a lease. Absent: it is not, or the store does not tell (SQLite). */
  readonly leased?: true;
}

/** A condition on the present entry: exactly this revision, or that there is none. */
export type Expect = Revision | 'absent';

export type Write =
  | { readonly type: 'put'; readonly key: string; readonly value: string; readonly expect?: Expect; readonly lease?: Lease }
  | { readonly type: 'delete'; readonly key: string; readonly expect?: Revision };

/**
 * What ties entries to the life of this process. On a server it is renewed over the network, and runs out when that fails for as long as
 * its time to live. A store of one host cannot do more than its process: there the lease holds while the process lives, and after a crash
 * its entries are removed when the store is next opened. Disposing it removes the entries now; closing the store leaves that to the time
 * to live, so that a restart does not look like leaving.
 */
export interface Lease extends AsyncDisposable {
  readonly id: string;
  /**
   * Aborts when the lease has run out or was taken away: entries under it are gone, or soon will be. Read it from the lease each time:
   * a process that was stopped then learns of it before it does anything in the belief of still holding the lease.
   */
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

/** `watch` cannot go on: changes after its revision are forgotten, or the store has gone back to before it. List again. */
export class CompactedError extends MoorError {
  constructor(message: string) {
    super('unavailable', message);
    this.name = 'CompactedError';
  }
}

export interface Store extends AsyncDisposable {
  /** Writes that one commit may hold, whatever they are; absent: at least a hundred. */
  readonly commitWrites?: number;
  readonly get: (key: string) => Promise<Entry | null>;
  /** In key order. */
  readonly list: (prefix: string) => Promise<Listing>;
  /**
   * All of it or nothing, on disk when the promise resolves. @returns the revision of the writes.
   * @throws conflict when an expectation fails, naming the key. Deleting what is absent is no error. After unavailable and timeout it may
   * have been done or not: read to find out. A server may limit how much one commit holds (etcd: 128 writes, 1.5 MiB; Consul: 64
   * operations, up to three a write, and 512 KiB; ZooKeeper: 1 MiB, and one lease): invalid.
   */
  readonly commit: (writes: readonly Write[]) => Promise<Revision>;
  /**
   * Every change below the prefix after `from`, in order, without gaps, until the signal aborts. A server that is away is waited for.
   *
   * Where the server keeps no history (Consul, ZooKeeper) this process looks at what is there, again and again. Of changes to one key
   * between two looks the last is told: a key that came and went not at all, one that was deleted and made again as put. A deletion has
   * the revision at which it was seen, which is no earlier than its own and before that of anything told later. A watch begins at the
   * revision of a listing that this store has made of the prefix; elsewhere only where nothing has changed since. Whoever keeps what he
   * listed, and applies what is told, has what is there: with every store.
   * @throws CompactedError when `from` is too old: list again. forbidden; unavailable when the store is closed.
   */
  readonly watch: (prefix: string, from: Revision, signal: AbortSignal) => AsyncIterable<readonly StoreEvent[]>;
  /** @param ttlMs after which entries put under the lease vanish unless this process renews it, which it does by itself. */
  readonly lease: (ttlMs: number) => Promise<Lease>;
}
