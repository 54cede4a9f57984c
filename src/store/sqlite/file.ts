/**
 * Bringing a store file into being, and telling a sound one from a damaged one. The file appears complete and at once
 * (made beside its place, synced, linked), so whatever is found at its place later was once whole: an empty or short file
 * is damage, never a first start that was cut off.
 */
import { chmodSync, closeSync, fsyncSync, linkSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { MoorError, unsupported } from '../../base/errors.ts';
import { damaged } from './faults.ts';

/** `PRAGMA application_id`: "Moor" in ASCII; `file` and we tell our database by it. */
const APPLICATION_ID = 0x4d6f6f72;
/** `PRAGMA user_version`: raised when the tables change. */
const SCHEMA_VERSION = 1;

/*
 * A rowid table: rows of 1 to 2 KB stay on their leaf (WITHOUT ROWID would spill beyond about 1 KB, sqlite.org/fileformat2.html
 * section 1.6). The revision has a row of its own because entries that are deleted must not take it back.
 */
const SCHEMA = `
  CREATE TABLE entries (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL, revision INTEGER NOT NULL, lease TEXT) STRICT;
  CREATE INDEX entries_lease ON entries (lease) WHERE lease IS NOT NULL;
  CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL) STRICT;
  INSERT INTO state (id, revision) VALUES (1, 0);
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * Makes the folder (0700) and the file (0600) where they are missing.
 * @throws unavailable when the file is empty, or missing while its write-ahead log is there.
 */
export function ensureFile(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // stat, never open: closing any descriptor of the file would drop the locks that this process holds on it (fcntl(2)).
  const found = statSync(file, { throwIfNoEntry: false });
  if (found) {
    if (!found.isFile()) throw new MoorError('unavailable', `cannot open the store ${file}: it is not a file`);
    if (found.size === 0) throw damaged(file, 'it is empty');
    if ((found.mode & 0o777) !== 0o600) chmodSync(file, 0o600);
    return;
  }
  if ((statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0) {
    throw damaged(file, `it is missing, while ${file}-wal is there`);
  }
  createFile(file);
}

function createFile(file: string): void {
  const draft = `${file}.new-${process.pid}-${crypto.randomUUID()}`;
  try {
    closeSync(openSync(draft, 'wx', 0o600));
    using database = new DatabaseSync(draft);
    database.exec(SCHEMA);
    // After the tables: the change of mode rewrites the header in place, so that no log is left beside the draft.
    database.exec('PRAGMA journal_mode = WAL');
    database.close();
    sync(draft);
    link(draft, file);
    sync(dirname(file));
  } finally {
    for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${draft}${end}`, { force: true });
  }
}

/** link(2), not rename(2): if another process was faster, its file stays. */
function link(draft: string, file: string): void {
  try {
    linkSync(draft, file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}

function sync(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** @throws unsupported for a file of another program or a later version; unavailable for a damaged one. */
export function checkFile(database: DatabaseSync, file: string): void {
  const application = pragma(database, 'application_id');
  if (application !== APPLICATION_ID) {
    // SQLite reads a file of less than a page as an empty database.
    if (pragma(database, 'page_count') === 0) throw damaged(file, 'it is shorter than a page');
    throw unsupported(`cannot open the store ${file}: it is a database of another program (application id ${application})`);
  }
  const version = pragma(database, 'user_version');
  if (version !== SCHEMA_VERSION) {
    const advice = 'run the version of moord that wrote it, or move the file away';
    throw unsupported(
      `cannot open the store ${file}: its schema version is ${version}, this moord knows ${SCHEMA_VERSION}; ${advice}`,
    );
  }
  // Reads every page once (about 1 ms a megabyte): a short or scribbled file is found now, not in the middle of a change.
  const result = pragma(database, 'quick_check(1)');
  if (result !== 'ok') throw damaged(file, String(result).replaceAll(/\s+/g, ' '));
}

function pragma(database: DatabaseSync, name: string): unknown {
  return Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
}
