/** A process that uses a store and is watched from outside: `commit FILE`, `hold FILE` or `full FILE`. Answers on stdout. */
import { closeSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { MoorError } from '../../src/base/errors.ts';
import { openSqliteStore } from '../../src/store/sqlite/store.ts';

const [mode = '', file = ''] = process.argv.slice(2);
/** Straight to the descriptor: what was told is told, even if the process is killed right after. */
const tell = (line: string): void => void writeSync(1, `${line}\n`);

function fillDisk(path: string): void {
  const fd = openSync(path, 'w');
  try {
    for (;;) writeSync(fd, Buffer.alloc(4_096));
  } catch {
    // ENOSPC is what it is for.
  } finally {
    closeSync(fd);
  }
}

const store = await openSqliteStore({ file });
switch (mode) {
  case 'commit': {
    // Four callers at once, so that commits share transactions; each acknowledged one is told with its key and revision.
    const run = async (caller: number): Promise<never> => {
      for (let i = 0; ; i++) {
        const key = `k/${process.pid}/${caller}/${i}`;
        const value = `${key} `.repeat(20);
        const revision = await store.commit([
          { type: 'put', key, value },
          { type: 'put', key: `last/${caller}`, value: key },
        ]);
        tell(`${key} ${revision}`);
      }
    };
    await Promise.all([0, 1, 2, 3].map(run));
    break;
  }
  case 'hold':
    await store.commit([{ type: 'put', key: 'leased', value: '1', lease: await store.lease(60_000) }]);
    tell('open');
    setInterval(() => {}, 60_000);
    break;
  case 'full': {
    const ballast = `${file}.ballast`;
    writeFileSync(ballast, Buffer.alloc(1_600_000));
    const value = 'x'.repeat(10_000);
    let acknowledged = 0;
    let refusal: unknown = null;
    while (refusal === null && acknowledged < 10_000) {
      try {
        await store.commit([
          { type: 'put', key: `a/${acknowledged}`, value },
          { type: 'put', key: `b/${acknowledged}`, value },
        ]);
        acknowledged++;
      } catch (error) {
        refusal = error;
      }
    }
    const entries = (await store.list('')).entries.map((entry) => entry.key);
    truncateSync(ballast, 1_550_000);
    // Big and small together: the small one must not fail with the big one.
    const mixed = await Promise.allSettled([
      // More than SQLite's cache holds, so that it fails in the middle, with the first write done.
      store.commit([
        { type: 'put', key: 'half', value: 'small' },
        ...[1, 2, 3, 4, 5, 6].map((i) => ({ type: 'put', key: `big/${i}`, value: 'x'.repeat(500_000) }) as const),
      ]),
      store.commit([{ type: 'put', key: 'a/0', value: 'small' }]),
    ]);
    rmSync(ballast);
    for (const key of entries.slice(0, -4)) await store.commit([{ type: 'delete', key }]);
    const update = async (): Promise<void> => {
      for (let i = 0; i < 400; i++) await store.commit([{ type: 'put', key: 'after', value: String(i) }]);
    };
    await update();
    // Not a byte left: what needs no more space than the store has must still work, for as long as one likes.
    fillDisk(ballast);
    await update();
    const left = (await store.list('')).entries.map((entry) => entry.key);
    await store[Symbol.asyncDispose]();
    await using again = await openSqliteStore({ file });
    const reopened = (await again.list('')).entries.map((entry) => entry.key);
    tell(
      JSON.stringify({
        acknowledged,
        entries,
        kind: refusal instanceof MoorError ? refusal.kind : String(refusal),
        message: refusal instanceof Error ? refusal.message : '',
        mixed: mixed.map((result) => result.status),
        left,
        reopened,
      }),
    );
    break;
  }
  default:
    throw new Error(`unknown mode ${mode}`);
}
