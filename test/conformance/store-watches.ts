/** What every store must do for those who watch it. */
import assert from 'node:assert/strict';
import { CompactedError } from '../../src/contracts/store.ts';
import { beginning, type Check, PATIENCE_MS, plain, put, rejects, take } from './store-harness.ts';

export function watchChecks(check: Check): void {
  check('two watches are independent; one may be left early', async (under) => {
    const { store } = under;
    const start = await beginning(under, await store.commit([put('w/a', '1')]), 'w/');
    const second = await store.commit([put('w/b', '2')]);
    await store.commit([put('w/c', '3')]);
    for await (const batch of store.watch('w/', start, AbortSignal.timeout(PATIENCE_MS))) {
      assert.equal(batch[0]?.key, 'w/b');
      break;
    }
    assert.deepEqual(plain(await take(store, start, { prefix: 'w/', count: 2 })), [
      ['w/b', '2'],
      ['w/c', '3'],
    ]);
    assert.deepEqual(plain(await take(store, second, { prefix: 'w/', count: 1 })), [['w/c', '3']]);
  });

  check('a watch ends when its signal aborts, before or while it waits', async ({ store }) => {
    const now = await store.commit([put('w/a', '1')]);
    for await (const batch of store.watch('w/', now, AbortSignal.abort())) assert.fail(JSON.stringify(batch));
    for await (const batch of store.watch('w/', now, AbortSignal.timeout(20))) assert.fail(JSON.stringify(batch));
  });

  check('a watch from a revision that is forgotten says compacted', async ({ store, compact }) => {
    const old = await store.commit([put('w/a', '1')]);
    await store.commit([put('w/a', '2')]);
    await compact();
    const watching = (async () => {
      for await (const batch of store.watch('w/', old, AbortSignal.timeout(PATIENCE_MS))) assert.fail(JSON.stringify(batch));
    })();
    await rejects('unavailable', watching, /compacted/);
    await assert.rejects(watching, CompactedError);
    const { revision } = await store.list('w/');
    await store.commit([put('w/b', 'new')]);
    assert.deepEqual(plain(await take(store, revision, { prefix: 'w/', count: 1 })), [['w/b', 'new']]);
  });

  check('a watch of what never changes is alive: the next change comes', async (under) => {
    const { store } = under;
    const start = await beginning(under, await store.commit([put('w/a', '1')]), 'w/');
    const taking = take(store, start, { prefix: 'w/', count: 1 });
    for (let i = 0; i < 100; i++) await store.commit([put('other', String(i))]);
    await store.commit([put('w/a', '2')]);
    assert.deepEqual(plain(await taking), [['w/a', '2']]);
  });
}
