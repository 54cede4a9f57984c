/** What a node keeps of its cluster, in the stores of one host. */
import '../support/isolated.ts';
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openKept } from '../../src/cluster/kept-store.ts';
import type { Store } from '../../src/contracts/store.ts';
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { openSqliteStore } from '../../src/store/sqlite/store.ts';

const KEY = 'meta/cluster';

async function check(store: Store): Promise<void> {
  assert.equal((await openKept(store, KEY)).kept, null);
  const long = '{"a":1}'.repeat(400_000);
  for (const text of ['', 'short', 'ü'.repeat(400_000), '😀'.repeat(300_001), `x${'😀'.repeat(300_001)}`, long, 'short again']) {
    await (await openKept(store, KEY)).keep(text);
    assert.ok((await openKept(store, KEY)).kept === text, `${text.length} characters`);
  }
  assert.deepEqual(
    (await store.list('')).entries.map(({ key }) => key),
    [KEY],
    'a shorter text leaves nothing of a longer',
  );
  // Forgotten by its first piece: the others count for nothing, and go.
  const { keep } = await openKept(store, KEY);
  await keep(long);
  await store.commit([{ type: 'delete', key: KEY }]);
  const again = await openKept(store, KEY);
  assert.equal(again.kept, null);
  await again.keep('new');
  assert.equal((await openKept(store, KEY)).kept, 'new');
}

test('kept of a cluster, memory: a text of any length comes back as it was', async () => {
  await using store = createMemoryStore();
  await check(store);
});

test('kept of a cluster, sqlite: a text of any length comes back as it was', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'moor-kept-'));
  try {
    await using store = await openSqliteStore({ file: join(folder, 'state.db') });
    await check(store);
  } finally {
    await rm(folder, { recursive: true });
  }
});
