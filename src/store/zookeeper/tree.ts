/**
 * What this process has seen of one part of the store, over one connection after the other. A watch tells which nodes have changed, not to
 * what: each is read, and is known when its answer has come and no event for it since. When that is so for all of them, what is known is
 * what was there at one moment: only then is anything told, and can be listed.
 */
import type { MoorError } from '../../base/errors.ts';
import { CompactedError, type Entry, type Listing, type Revision, type StoreEvent } from '../../contracts/store.ts';
import { Feed } from '../feed.ts';
import { addWatch, exists, getChildren, getData, readStat, removeWatch, type Stat, sync } from './api.ts';
import type { Connection } from './connection.ts';
import { CODE, isCode, LostError, ZkError } from './faults.ts';
import { above, type Paths } from './paths.ts';

export interface TreeDeps {
  readonly paths: Paths;
  /** Milliseconds for one question. */
  readonly timeoutMs: number;
  /** Before a watch is put on a connection: its events come to `touch`. */
  readonly hear: (connection: Connection) => void;
}

/** Changes kept for watches that are behind. */
const HISTORY = 4_096;
/** Questions on their way at a time, of a first reading. */
const AT_ONCE = 500;

export class Tree {
  readonly #scope: string;
  readonly #deps: TreeDeps;
  readonly #entries = new Map<string, Entry>();
  /** Keys of which something is to be read. */
  #dirty = new Set<string>();
  /** Absent at the last reading, not told yet: when exactly they went is not known before the next moment at which all is known. */
  readonly #gone = new Set<string>();
  #feed: Feed | null = null;
  /** Everything up to here has been told. */
  #seen: Revision = 0;
  /** The connection that its watch is on, when all has been read over it once. */
  #on: Connection | null = null;
  #joining: Promise<void> | null = null;
  #settling: Promise<void> | null = null;

  /** @param scope `scopeOf` a prefix */
  constructor(scope: string, deps: TreeDeps) {
    this.#scope = scope;
    this.#deps = deps;
  }

  get seen(): Revision {
    return this.#seen;
  }

  /** For watches; null: nothing has been read yet, or the store has gone back since. */
  get feed(): Feed | null {
    return this.#feed;
  }

  /** A node on the connection has changed. */
  touch(connection: Connection, key: string): void {
    if (!key.startsWith(this.#scope)) return;
    this.#dirty.add(key);
    // While it is being read for the first time, that comes later.
    if (this.#on === connection) void this.#settle(connection).catch(() => {});
  }

  /**
   * Everything there is, no older than this call. The first over a connection reads all of it.
   * @throws LostError; ZkError; ProtocolError
   */
  async list(connection: Connection): Promise<Listing> {
    await this.join(connection);
    const { zxid } = await connection.call(sync(this.#deps.paths.root), this.#deps.timeoutMs);
    // Events of all that was done before have come before that answer.
    await this.#settle(connection);
    this.#seen = Math.max(this.#seen, zxid);
    return { entries: [...this.#entries.values()], revision: this.#seen };
  }

  /** What is written from now on is newer than this: all was read after somebody had it already. */
  reach(revision: Revision): void {
    this.#seen = Math.max(this.#seen, revision);
  }

  /** No watch can go on. */
  fail(error: MoorError): void {
    this.#feed?.fail(error);
    this.#feed = null;
  }

  /** Watches it over this connection from now on, and finds out what has changed since the last. @throws as `list` */
  async join(connection: Connection): Promise<void> {
    while (this.#on !== connection) {
      if (!connection.usable) throw new LostError(`${connection.name}: ${connection.reason}`, { reached: false });
      this.#joining ??= this.#read(connection).finally(() => (this.#joining = null));
      await this.#joining;
    }
  }

  /** Nobody needs it any more. */
  leave(): void {
    const connection = this.#on;
    this.#on = null;
    const path = this.#deps.paths.folder(this.#scope);
    if (connection?.usable) connection.call(removeWatch(path), this.#deps.timeoutMs).catch(() => {});
  }

  async #read(connection: Connection): Promise<void> {
    const { paths, timeoutMs, hear } = this.#deps;
    this.#on = null;
    this.#dirty = new Set();
    const path = paths.folder(this.#scope);
    hear(connection);
    // What a server that lags has not done yet would look like something that has been undone.
    const synced = connection.call(sync(paths.root), timeoutMs);
    const [{ zxid }] = await Promise.all([synced, connection.call(addWatch(path), timeoutMs)]);
    if (zxid < this.#seen) this.#goneBack(zxid);
    const scan = new Scan(connection, this.#deps);
    const keys = await scan.keys(this.#scope);
    const floor = this.#dirty.size === 0 ? scan.lastChange : null;
    for (const key of [...keys, ...this.#entries.keys()]) this.#dirty.add(key);
    this.#on = connection;
    await this.#settle(connection, { zxid, floor });
  }

  /** Until all that is known is of one moment. */
  #settle(connection: Connection, first: Beginning | null = null): Promise<void> {
    // Whoever comes later needs what was dirty when he came, and the waves go on for that.
    this.#settling ??= this.#waves(connection, first).finally(() => (this.#settling = null));
    return this.#settling;
  }

  async #waves(connection: Connection, beginning: Beginning | null): Promise<void> {
    let first = beginning;
    do {
      const wave = this.#dirty;
      this.#dirty = new Set();
      const found = new Map<string, Entry | null>();
      const scan = new Scan(connection, this.#deps);
      try {
        for await (const [key, entry] of scan.entries([...wave])) found.set(key, entry);
        if (this.#on !== connection) throw new LostError(`${connection.name}: another took its place`, { reached: false });
      } catch (error) {
        for (const key of wave) this.#dirty.add(key);
        throw error;
      }
      // What has changed again meanwhile is read again.
      for (const key of this.#dirty) found.delete(key);
      const zxid = Math.max(scan.zxid, first?.zxid ?? 0);
      this.#deliver(found, { zxid, quiet: this.#dirty.size === 0, floor: first?.floor ?? null });
      first = null;
    } while (this.#dirty.size > 0);
  }

  /**
   * A wave's events all came before those of the next, so its changes are older. When a node went is not known so well: at the latest when
   * nothing was heard any more, or before the first change of the next wave.
   */
  #deliver(found: ReadonlyMap<string, Entry | null>, { zxid, quiet, floor }: Wave): void {
    const changed: Entry[] = [];
    for (const [key, entry] of found) {
      this.#gone.delete(key);
      if (entry !== null && this.#entries.get(key)?.revision !== entry.revision) changed.push(entry);
    }
    changed.sort((one, two) => one.revision - two.revision || (one.key < two.key ? -1 : 1));
    const [first] = changed;
    const last = changed.at(-1)?.revision ?? 0;
    // Of one transaction some may come in this wave and some in the next.
    if (first && first.revision < this.#seen) {
      this.#goneBack(zxid);
      throw new LostError('the store has gone back', { reached: false });
    }
    const before: StoreEvent[] = [];
    if (first) before.push(...this.#tellGone(Math.max(this.#seen, first.revision - 1)));
    for (const [key, entry] of found) if (entry === null && this.#entries.has(key)) this.#gone.add(key);
    for (const entry of changed) this.#entries.set(entry.key, entry);
    const news = [...before, ...changed.map(({ key, value, revision }): StoreEvent => ({ key, value, revision }))];
    const reached = Math.max(this.#seen, last, quiet ? zxid : 0);
    if (quiet) news.push(...this.#tellGone(reached));
    this.#seen = reached;
    // The first time there is nobody to tell.
    if (this.#feed === null) {
      if (quiet) this.#feed = new Feed(Math.max(last, floor ?? reached), HISTORY);
    } else if (news.length > 0) this.#feed.append(reached, news);
  }

  #tellGone(revision: Revision): readonly StoreEvent[] {
    const keys = [...this.#gone].sort();
    this.#gone.clear();
    for (const key of keys) this.#entries.delete(key);
    return keys.map((key) => ({ key, value: null, revision }));
  }

  /** The store is behind what was seen: restored from a backup, or set up anew. */
  #goneBack(revision: Revision): void {
    this.#feed?.fail(new CompactedError(`the store has gone back to ${revision}, list again`));
    this.#feed = null;
    this.#seen = 0;
    this.#entries.clear();
    this.#gone.clear();
    // All is to be read anew.
    this.#on = null;
  }
}

/** Of a first reading over a connection. */
interface Beginning {
  /** Nothing that was done before this is missed. */
  readonly zxid: Revision;
  /** When something below the prefix changed last, if nothing did while the names were read. */
  readonly floor: Revision | null;
}

interface Wave {
  readonly zxid: Revision;
  /** Nothing has changed while it was read. */
  readonly quiet: boolean;
  readonly floor: Revision | null;
}

/** Reads many nodes, not too many at a time. */
class Scan {
  readonly #connection: Connection;
  readonly #deps: TreeDeps;
  /** Of the newest answer. */
  zxid = 0;
  /** Of the folders: when a node in them last came or went. */
  lastChange = 0;

  constructor(connection: Connection, deps: TreeDeps) {
    this.#connection = connection;
    this.#deps = deps;
  }

  /** Of all entries below, in no order. */
  async keys(scope: string): Promise<readonly string[]> {
    const { paths } = this.#deps;
    const keys: string[] = [];
    let folders = [scope];
    while (folders.length > 0) {
      const inner: string[] = [];
      for (let at = 0; at < folders.length; at += AT_ONCE) {
        const some = folders.slice(at, at + AT_ONCE);
        const children = await Promise.all(some.map((folder) => this.#children(folder)));
        for (const [index, names] of children.entries()) {
          for (const name of names) {
            const child = paths.child(some[index] ?? '', name);
            if (child === null) continue;
            if ('folder' in child) inner.push(child.folder);
            else keys.push(child.entry);
          }
        }
      }
      folders = inner;
    }
    if (this.lastChange === 0) await this.#above(paths.folder(scope));
    return keys;
  }

  async *entries(keys: readonly string[]): AsyncGenerator<readonly [string, Entry | null], void, void> {
    for (let at = 0; at < keys.length; at += AT_ONCE)
      yield* await Promise.all(keys.slice(at, at + AT_ONCE).map(async (key) => [key, await this.#entry(key)] as const));
  }

  async #entry(key: string): Promise<Entry | null> {
    try {
      const { from, zxid } = await this.#connection.call(getData(this.#deps.paths.entry(key)), this.#deps.timeoutMs);
      this.zxid = zxid;
      return entryOf(key, from.buffer(), readStat(from));
    } catch (error) {
      if (!(error instanceof ZkError) || error.code !== CODE.NO_NODE) throw error;
      this.zxid = error.zxid;
      return null;
    }
  }

  async #children(scope: string): Promise<readonly string[]> {
    try {
      const { from } = await this.#connection.call(getChildren(this.#deps.paths.folder(scope)), this.#deps.timeoutMs);
      const names = from.strings();
      this.lastChange = Math.max(this.lastChange, readStat(from).pzxid);
      return names;
    } catch (error) {
      if (isCode(error, CODE.NO_NODE)) return [];
      throw error;
    }
  }

  /** The folder is not there: the next outer one knows when it went. */
  async #above(path: string): Promise<void> {
    for (const outer of ['/', ...above(path)].reverse()) {
      try {
        const { from } = await this.#connection.call(exists(outer), this.#deps.timeoutMs);
        this.lastChange = readStat(from).pzxid;
        return;
      } catch (error) {
        if (!isCode(error, CODE.NO_NODE)) throw error;
      }
    }
  }
}

/** Any bytes become some text: what is not UTF-8 is replaced by U+FFFD, and whoever reads the value will not take it for his own. */
export function entryOf(key: string, data: Buffer, { mzxid, owner }: Stat): Entry {
  return { key, value: data.toString('utf8'), revision: mzxid, ...(owner === 0n ? {} : { leased: true }) };
}
