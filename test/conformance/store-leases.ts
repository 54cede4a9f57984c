/** What every store must do with leases. */
import assert from 'node:assert/strict';
import type { Lease } from '../../src/contracts/store.ts';
import { beginning, type Check, eventually, plain, put, rejects, remove, take } from './store-harness.ts';

export function leaseChecks(check: Check): void {
  check('entries vanish with their lease, and a watch tells', async (under) => {
    const { store } = under;
    const lease = await store.lease(60_000);
    assert.equal(lease.lost.aborted, false);
    const written = await store.commit([put('l/a', '1', { lease }), put('l/b', '1', { lease }), put('l/stays', '1')]);
    const start = await beginning(under, written, 'l/');
    await store.commit([put('l/b', 'without the lease')]);
    // A store may not tell; it never tells what is not so.
    assert.notEqual((await store.get('l/b'))?.leased, true);
    assert.notEqual((await store.get('l/stays'))?.leased, true);
    await lease[Symbol.asyncDispose]();
    assert.equal(lease.lost.aborted, true);
    await eventually(async () => (await store.get('l/a')) === null);
    assert.deepEqual(
      (await store.list('l/')).entries.map((entry) => entry.key),
      ['l/b', 'l/stays'],
    );
    const events = await take(store, start, { prefix: 'l/', count: 2 });
    assert.deepEqual(plain(events), [
      ['l/b', 'without the lease'],
      ['l/a', null],
    ]);
    await rejects('unavailable', store.commit([put('l/c', '1', { lease })]), /lease is lost/);
    await lease[Symbol.asyncDispose]();
  });

  check('a lease outlives its time to live while its process is alive', async ({ store }) => {
    await using lease = await store.lease(1_000);
    await store.commit([put('l/a', '1', { lease })]);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal((await store.get('l/a'))?.value, '1');
    await rejects('invalid', store.lease(0), /invalid lease/);
    await rejects('invalid', store.lease(Number.NaN), /invalid lease/);
  });

  check('entries of one lease vanish together; those that moved away from it stay', async (under) => {
    const { store } = under;
    const first = await store.lease(60_000);
    await using second = await store.lease(60_000);
    const start = await store.commit([
      put('l/a', '1', { lease: first }),
      put('l/b', '1', { lease: first }),
      put('l/moved', '1', { lease: first }),
      put('l/again', '1', { lease: first }),
      put('other/c', '1', { lease: first }),
    ]);
    await store.commit([put('l/moved', '2', { lease: second })]);
    await store.commit([remove('l/again')]);
    const last = await beginning(under, await store.commit([put('l/again', '2')]), '');
    await first[Symbol.asyncDispose]();
    const gone = await take(store, last, { prefix: '', count: 3 });
    assert.deepEqual(
      new Map(gone.map(({ key, value }) => [key, value])),
      new Map([
        ['l/a', null],
        ['l/b', null],
        ['other/c', null],
      ]),
    );
    assert.equal(new Set(gone.map(({ revision }) => revision)).size, 1, 'in one commit');
    assert.ok(gone.every(({ revision }) => revision > start));
    assert.equal(second.lost.aborted, false);
    assert.deepEqual(
      (await store.list('')).entries.map(({ key, value }) => [key, value]),
      [
        ['l/again', '2'],
        ['l/moved', '2'],
      ],
    );
  });

  check('a commit that is refused leaves an entry under the lease that it had', async ({ store }) => {
    const first = await store.lease(60_000);
    await using second = await store.lease(60_000);
    const revision = await store.commit([put('l/a', '1', { lease: first })]);
    await rejects('conflict', store.commit([put('l/a', '2', { lease: second, expect: 'absent' })]), /l\/a/);
    await rejects('conflict', store.commit([put('l/a', '2', { expect: revision + 1 })]), /l\/a/);
    await first[Symbol.asyncDispose]();
    await eventually(async () => (await store.get('l/a')) === null);
  });

  check('an expectation may name an entry under a lease, and fails once the lease is gone', async ({ store }) => {
    const lease = await store.lease(60_000);
    const first = await store.commit([put('l/owner', 'me', { lease, expect: 'absent' })]);
    const second = await store.commit([put('l/owner', 'me', { lease, expect: first }), put('l/data', '1', { expect: 'absent' })]);
    await lease[Symbol.asyncDispose]();
    await eventually(async () => (await store.get('l/owner')) === null);
    await rejects('conflict', store.commit([put('l/owner', 'you', { expect: second })]), /l\/owner/);
    await store.commit([put('l/owner', 'you', { expect: 'absent' })]);
  });

  check('a lease of another store is not one of this store', async ({ store }) => {
    const foreign: Lease = { id: '123456789', lost: new AbortController().signal, [Symbol.asyncDispose]: async () => {} };
    await rejects('unavailable', store.commit([put('l/a', '1', { lease: foreign })]), /lease is lost/);
    assert.equal(await store.get('l/a'), null);
  });

  check('a hundred leases at once, each with its entries', async ({ store }) => {
    const leases = await Promise.all(Array.from({ length: 100 }, () => store.lease(30_000)));
    assert.equal(new Set(leases.map(({ id }) => id)).size, 100);
    await Promise.all(leases.map((lease, i) => store.commit([put(`l/${i}/a`, 'x', { lease }), put(`l/${i}/b`, 'x', { lease })])));
    await Promise.all(leases.filter((_, i) => i % 2 === 0).map((lease) => lease[Symbol.asyncDispose]()));
    await eventually(async () => (await store.list('l/')).entries.length === 100);
    assert.ok((await store.list('l/')).entries.every(({ key }) => Number(key.split('/')[1]) % 2 === 1));
    assert.ok(leases.every((lease, i) => lease.lost.aborted === (i % 2 === 0)));
    await Promise.all(leases.map((lease) => lease[Symbol.asyncDispose]()));
  });
}
