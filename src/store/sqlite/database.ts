/**
 * The database itself, synchronous: runs in the worker. One writer, one connection, and the lock held from open to close.
 * https://sqlite.org/wal.html
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { errorData, MoorError } from '../../base/errors.ts';
import type { Entry, Revision } from '../../contracts/store.ts';
import { unmet } from '../writes.ts';
import { storeFault } from './faults.ts';
import { checkFile, ensureFile } from './file.ts';
import type { Reply, Request, WriteData } from './protocol.ts';

/** The lock is then taken at the first read and kept, and no shared-memory file is needed. */
const LOCK = 'PRAGMA locking_mode = EXCLUSIVE';
/*
 * FULL: each transaction's log is synced before it is acknowledged. cache_size in KiB when negative. The log goes into the database
 * at 256 pages of 4 KiB: small enough that a full disk finds most of the state in place, at two more syncs in about a hundred commits.
 */
const SETTINGS = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA cache_size = -1024;
  PRAGMA wal_autocheckpoint = 256;
  PRAGMA journal_size_limit = 2097152;
  PRAGMA trusted_schema = OFF;
`;

/** The process that held the leases is gone, else it would hold the file. */
const FORGET_LEASES = `
  BEGIN IMMEDIATE;
  UPDATE state SET revision = revision + 1 WHERE EXISTS (SELECT 1 FROM entries WHERE lease IS NOT NULL);
  DELETE FROM entries WHERE lease IS NOT NULL;
  COMMIT;
`;

type WriteRequest = Extract<Request, { type: 'commit' | 'drop' }>;
type ReadRequest = Exclude<Request, WriteRequest>;
const isWrite = (request: Request): request is WriteRequest => request.type === 'commit' || request.type === 'drop';

export class Database {
  readonly #file: string;
  readonly #sql: DatabaseSync;
  readonly #statements: ReturnType<typeof prepare>;
  #revision: Revision;

  /** @throws conflict when another process holds the file; unavailable, unsupported: see file.ts. */
  constructor(file: string) {
    this.#file = file;
    try {
      ensureFile(file);
      this.#sql = new DatabaseSync(file);
    } catch (error) {
      throw storeFault('open', file, error);
    }
    try {
      this.#sql.exec(LOCK);
      checkFile(this.#sql, file);
      this.#sql.exec(SETTINGS);
      this.#sql.exec(FORGET_LEASES);
      this.#statements = prepare(this.#sql);
      this.#revision = Number(this.#statements.revision.get()?.['revision']);
    } catch (error) {
      this.#sql.close();
      throw storeFault('open', file, error);
    }
  }

  get revision(): Revision {
    return this.#revision;
  }

  /** All writes in one transaction, then the reads. A request that fails leaves the others alone. */
  run(requests: readonly Request[]): Reply[] {
    const writes = requests.filter(isWrite);
    const written = writes.length > 0 ? this.#writeAll(writes) : [];
    let next = 0;
    return requests.map((request) => (isWrite(request) ? written[next++] : null) ?? this.#read(request));
  }

  close(): void {
    this.#sql.close();
  }

  #writeAll(requests: readonly WriteRequest[]): Reply[] {
    try {
      return this.#transaction(requests);
    } catch (error) {
      // SQLite may have rolled back by itself (SQLITE_FULL, SQLITE_IOERR: sqlite.org/lang_transaction.html section 3).
      if (this.#sql.isTransaction) this.#sql.exec('ROLLBACK');
      // The disk may have room for some of them: each alone.
      if (requests.length > 1) return requests.flatMap((request) => this.#writeAll([request]));
      return [failure(storeFault('write', this.#file, error))];
    }
  }

  /** @throws what makes the transaction as a whole fail. */
  #transaction(requests: readonly WriteRequest[]): Reply[] {
    const { begin, commit, setRevision } = this.#statements;
    begin.run();
    let revision = this.#revision;
    const replies = requests.map((request) => {
      const reply = this.#writeOne(request, revision);
      if (reply.type === 'committed' || reply.type === 'dropped') revision = reply.revision;
      return reply;
    });
    if (revision !== this.#revision) setRevision.run(revision);
    commit.run();
    this.#revision = revision;
    return replies;
  }

  /**
   * One caller's writes. Expectations are compared before the first of them, so a caller that is refused has written nothing; any
   * other error takes the whole transaction back, and each caller is tried alone. No savepoint is needed.
   */
  #writeOne(request: WriteRequest, revision: Revision): Reply {
    try {
      return request.type === 'commit' ? this.#commit(request.writes, revision) : this.#drop(request.lease, revision);
    } catch (error) {
      if (error instanceof MoorError) return failure(error);
      throw error;
    }
  }

  #commit(writes: readonly WriteData[], before: Revision): Reply {
    const { revisionOf, put, remove } = this.#statements;
    for (const { key, expect } of writes) {
      if (expect === undefined) continue;
      const error = unmet(key, expect, (revisionOf.get(key)?.['revision'] as Revision | undefined) ?? null);
      if (error) throw error;
    }
    const absent: number[] = [];
    for (const [index, write] of writes.entries()) {
      if (write.type === 'put') put.run(write.key, write.value, before + 1, write.lease);
      else if (remove.run(write.key).changes === 0) absent.push(index);
    }
    return { type: 'committed', revision: absent.length === writes.length ? before : before + 1, absent };
  }

  #drop(lease: string, before: Revision): Reply {
    const keys = this.#statements.dropLease.all(lease).map((row) => String(row['key']));
    return { type: 'dropped', revision: keys.length === 0 ? before : before + 1, keys };
  }

  #read(request: Request): Reply {
    try {
      return this.#readOne(request as ReadRequest);
    } catch (error) {
      return failure(storeFault('read', this.#file, error));
    }
  }

  #readOne(request: ReadRequest): Reply {
    switch (request.type) {
      case 'get':
        return { type: 'entry', entry: (this.#statements.get.get(request.key) as unknown as Entry | undefined) ?? null };
      case 'list': {
        // Keys are printable ASCII, so DEL sorts after every key that begins with the prefix.
        const rows = this.#statements.list.all(request.prefix, `${request.prefix}\x7f`);
        return { type: 'listing', listing: { entries: rows as unknown as Entry[], revision: this.#revision } };
      }
    }
  }
}

const failure = (error: MoorError): Reply => ({ type: 'error', error: errorData(error) });

function prepare(sql: DatabaseSync) {
  return {
    begin: sql.prepare('BEGIN IMMEDIATE'),
    commit: sql.prepare('COMMIT'),
    revision: sql.prepare('SELECT revision FROM state'),
    setRevision: sql.prepare('UPDATE state SET revision = ?'),
    revisionOf: sql.prepare('SELECT revision FROM entries WHERE key = ?'),
    get: sql.prepare('SELECT key, value, revision FROM entries WHERE key = ?'),
    list: sql.prepare('SELECT key, value, revision FROM entries WHERE key >= ? AND key < ? ORDER BY key'),
    put: sql.prepare(
      'INSERT INTO entries (key, value, revision, lease) VALUES (?, ?, ?, ?) ' +
        'ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision, lease = excluded.lease',
    ),
    remove: sql.prepare('DELETE FROM entries WHERE key = ?'),
    dropLease: sql.prepare('DELETE FROM entries WHERE lease = ? RETURNING key'),
  } satisfies Record<string, StatementSync>;
}
