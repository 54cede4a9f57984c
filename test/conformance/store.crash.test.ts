/** What only a store on a disk can get wrong: SIGKILL, a full disk, damage, a second opener. */
import '../support/isolated.ts';
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { MoorError, type ErrorKind } from '../../src/base/errors.ts';
import { openSqliteStore } from '../../src/store/sqlite/store.ts';

const CHILD = new URL('./store.child.ts', import.meta.url).pathname;
const KILLS = 25;

/** A file in a folder of its own that goes with the test. */
async function place(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'moor-store-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'data', 'state.db');
}

function child(t: TestContext, mode: string, file: string): ChildProcess {
  const process_ = spawn(process.execPath, [CHILD, mode, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => process_.kill('SIGKILL'));
  return process_;
}

async function refused(kind: ErrorKind, file: string, text: RegExp): Promise<void> {
  await assert.rejects(openSqliteStore({ file }), (error: unknown) => {
    assert.ok(error instanceof MoorError, String(error));
    assert.match(error.message, text);
    assert.ok(error.message.includes(file), error.message);
    assert.equal(error.kind, kind, error.message);
    return true;
  });
}

async function filled(file: string, entries: number): Promise<void> {
  await using store = await openSqliteStore({ file });
  for (let i = 0; i < entries; i++) await store.commit([{ type: 'put', key: `k/${i}`, value: `value ${i} `.repeat(100) }]);
}

test('sqlite: no acknowledged commit is lost to SIGKILL, and none is there by half', async (t) => {
  const file = await place(t);
  const acknowledged = new Map<string, number>();
  for (let round = 0; round < KILLS; round++) {
    const process_ = child(t, 'commit', file);
    assert.ok(process_.stdout);
    let count = 0;
    // A different moment each time; every round has acknowledged something.
    const enough = 1 + round * 7;
    for await (const line of createInterface({ input: process_.stdout })) {
      const [key = '', revision = ''] = line.split(' ');
      acknowledged.set(key, Number(revision));
      if (++count === enough) process_.kill('SIGKILL');
    }
    assert.ok(count >= enough);
  }
  await using store = await openSqliteStore({ file });
  const entries = new Map((await store.list('k/')).entries.map((entry) => [entry.key, entry]));
  for (const [key, revision] of acknowledged) {
    assert.equal(entries.get(key)?.revision, revision, key);
    assert.equal(entries.get(key)?.value, `${key} `.repeat(20));
  }
  for (const { value: key, revision } of (await store.list('last/')).entries)
    assert.equal(entries.get(key)?.revision, revision, key);
  assert.ok(acknowledged.size >= KILLS);
});

test('sqlite: state and revisions survive a restart, leased entries do not', async (t) => {
  const file = await place(t);
  const holder = child(t, 'hold', file);
  assert.ok(holder.stdout);
  await once(holder.stdout, 'data');
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const first = await openSqliteStore({ file });
  assert.equal(await first.get('leased'), null);
  const revision = await first.commit([
    { type: 'put', key: 'a', value: '1' },
    { type: 'put', key: 'b', value: '1', lease: await first.lease(60_000) },
  ]);
  await first[Symbol.asyncDispose]();
  await using second = await openSqliteStore({ file });
  assert.deepEqual(
    (await second.list('')).entries.map(({ key }) => key),
    ['a'],
  );
  assert.equal((await second.get('a'))?.revision, revision);
  assert.ok((await second.list('')).revision > revision, 'the end of a leased entry is a change');
  assert.ok((await second.commit([{ type: 'delete', key: 'a' }])) > revision);
  const missed = second.watch('', revision, AbortSignal.timeout(5_000))[Symbol.asyncIterator]().next();
  await assert.rejects(missed, /compacted/);
});

test('sqlite: folder 0700, files 0600, whatever the umask and an earlier mode were', async (t) => {
  const file = await place(t);
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  await filled(file, 1);
  await chmod(file, 0o644);
  await using store = await openSqliteStore({ file });
  await store.commit([{ type: 'put', key: 'a', value: '1' }]);
  const folder = join(file, '..');
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
  const files = (await readdir(folder)).sort();
  assert.deepEqual(files, ['state.db', 'state.db-wal']);
  for (const name of files) assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name);
});

test('sqlite: a second opener is refused and told which process holds the file', async (t) => {
  const file = await place(t);
  const holder = child(t, 'hold', file);
  assert.ok(holder.stdout);
  await once(holder.stdout, 'data');
  await refused('conflict', file, new RegExp(`process ${holder.pid} \\(.*store\\.child\\.ts hold`));
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  await using store = await openSqliteStore({ file });
  await refused('conflict', file, new RegExp(`process ${process.pid} `));
  // The refused attempt must not have dropped the lock of the first.
  await refused('conflict', file, new RegExp(`process ${process.pid} `));
  await store.commit([{ type: 'put', key: 'a', value: '1' }]);
});

test('sqlite: of several that open a new file at once one wins and the file is whole', async (t) => {
  const file = await place(t);
  const results = await Promise.allSettled(Array.from({ length: 4 }, () => openSqliteStore({ file })));
  const stores = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  assert.equal(stores.length, 1);
  await stores[0]?.commit([{ type: 'put', key: 'a', value: '1' }]);
  await stores[0]?.[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(join(file, '..')), ['state.db']);
});

test('sqlite: damage is named, and the file is left as it is', async (t) => {
  const file = await place(t);
  await filled(file, 200);
  const sound = `${file}.sound`;
  await copyFile(file, sound);
  const { size } = await stat(sound);
  const damages: Readonly<Record<string, () => Promise<void>>> = {
    empty: () => truncate(file, 0),
    'a few bytes': () => truncate(file, 50),
    'part of a page': () => truncate(file, 3_000),
    'one page': () => truncate(file, 4_096),
    half: () => truncate(file, Math.floor(size / 2)),
    'a page short': () => truncate(file, size - 4_096),
    random: () => writeFile(file, Buffer.from(Array.from({ length: 20_000 }, (_, i) => (i * 7919) % 251))),
    text: () => writeFile(file, '{"networks":[]}\n'.repeat(1_000)),
    'a page scribbled over': async () => {
      const handle = await open(file, 'r+');
      await handle.write(Buffer.alloc(4_096, 0xa5), 0, 4_096, 4_096 * 3);
      await handle.close();
    },
  };
  for (const [name, damage] of Object.entries(damages)) {
    await copyFile(sound, file);
    await damage();
    const before = await readFile(file);
    await refused('unavailable', file, /damaged.*put back a copy/);
    assert.deepEqual(await readFile(file), before, `${name}: the file was changed`);
  }
  await copyFile(sound, file);
  await using store = await openSqliteStore({ file });
  assert.equal((await store.list('k/')).entries.length, 200);
});

test('sqlite: a missing file beside its log is not begun anew', async (t) => {
  const file = await place(t);
  await filled(file, 1);
  await rm(file);
  await writeFile(`${file}-wal`, 'log');
  await refused('unavailable', file, /missing/);
  assert.deepEqual(await readdir(join(file, '..')), ['state.db-wal']);
});

test('sqlite: databases of other programs and of later versions are refused untouched', async (t) => {
  const file = await place(t);
  await filled(file, 1);
  const later = new DatabaseSync(file);
  later.exec('PRAGMA user_version = 7');
  later.close();
  await refused('unsupported', file, /schema version is 7, this moord knows 1/);
  await rm(file);
  const other = new DatabaseSync(file);
  other.exec('CREATE TABLE theirs (id INTEGER)');
  other.close();
  const before = await readFile(file);
  await refused('unsupported', file, /another program/);
  assert.deepEqual(await readFile(file), before);
});

test('sqlite: a full disk refuses the commit and nothing else', {
  skip: process.getuid?.() === 0 ? false : 'mounts a tmpfs',
}, async (t) => {
  const file = await place(t);
  const folder = join(file, '..');
  const script = 'mkdir -p "$1" && mount -t tmpfs -o size=4m moor-full "$1" && exec "$2" "$3" full "$1/state.db"';
  const run = spawn(
    'unshare',
    ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', folder, process.execPath, CHILD],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  t.after(() => run.kill('SIGKILL'));
  let output = '';
  run.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [code] = (await once(run, 'close')) as [number];
  assert.equal(code, 0);
  const seen = JSON.parse(output) as Record<'kind' | 'message', string> &
    Record<'entries' | 'mixed' | 'left' | 'reopened', string[]> & { acknowledged: number };
  assert.equal(seen.kind, 'exhausted');
  assert.match(seen.message, /state\.db: no space left/);
  assert.ok(seen.acknowledged > 5, String(seen.acknowledged));
  const pairs = Array.from({ length: seen.acknowledged }, (_, i) => [`a/${i}`, `b/${i}`])
    .flat()
    .sort();
  assert.deepEqual(seen.entries, pairs, 'exactly what was acknowledged is there');
  assert.deepEqual(seen.mixed, ['rejected', 'fulfilled']);
  assert.deepEqual(seen.left, ['after', ...pairs.slice(-4)]);
  assert.deepEqual(seen.reopened, seen.left);
});

test('sqlite: a caller whose write SQLite refuses in the middle is undone whole, and no other', async (t) => {
  const file = await place(t);
  await filled(file, 1);
  // A real error of SQLite that leaves its transaction open.
  const outside = new DatabaseSync(file);
  outside.exec(
    `CREATE TRIGGER poison BEFORE INSERT ON entries WHEN NEW.key = 'poison' BEGIN SELECT RAISE(ABORT, 'poisoned'); END`,
  );
  outside.close();
  await using store = await openSqliteStore({ file });
  const put = (key: string): { type: 'put'; key: string; value: string } => ({ type: 'put', key, value: '1' });
  const results = await Promise.allSettled([
    store.commit([put('a')]),
    store.commit([put('b'), put('poison'), put('c')]),
    store.commit([put('d')]),
  ]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  await assert.rejects(store.commit([put('e'), put('poison')]), /cannot write the store .*poisoned/);
  await store.commit([put('f')]);
  assert.deepEqual(
    (await store.list('')).entries.map(({ key }) => key),
    ['a', 'd', 'f', 'k/0'],
  );
});

test("sqlite: the end of the store's thread is told to everyone who waits", async (t) => {
  const file = await place(t);
  const script = (code: string): URL =>
    new URL(`data:text/javascript,${encodeURIComponent(`import { parentPort } from 'node:worker_threads'; ${code}`)}`);
  await assert.rejects(openSqliteStore({ file, worker: script('') }), /ended without a word/);
  await assert.rejects(openSqliteStore({ file, worker: script("throw new Error('broken')") }), /broken/);
  const dying =
    "parentPort.postMessage({ type: 'opened', revision: 0 }); parentPort.once('message', () => { throw new Error('broken'); });";
  await using store = await openSqliteStore({ file, worker: script(dying) });
  const lease = await store.lease(1_000);
  const watching = assert.rejects(store.watch('', 0, AbortSignal.timeout(5_000))[Symbol.asyncIterator]().next(), /closed/);
  await assert.rejects(store.commit([{ type: 'put', key: 'a', value: '1' }]), /thread failed.*broken/);
  await assert.rejects(store.get('a'), /thread failed.*broken/);
  await watching;
  assert.equal(lease.lost.aborted, true);
});
