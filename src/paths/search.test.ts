import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Search } from './search.ts';

/** A path that takes packets of at most `mtu` bytes. @returns what was found, and how many volleys it took */
function run(
  mtu: number,
  { low, high, hints }: { readonly low: number; readonly high: number; readonly hints: boolean },
): { found: number; volleys: number } {
  const search = new Search(low, high);
  let volleys = 0;
  for (let sizes = search.next(); sizes.length > 0; sizes = search.next()) {
    assert.ok(sizes.length <= 17 && sizes.every((size) => size > low && size < high));
    volleys++;
    for (const size of sizes) {
      if (size <= mtu) search.answered(size);
      else if (hints) search.tooBig(mtu);
    }
    search.settle();
  }
  return { found: search.low, volleys };
}

test('whatever a path takes is found', () => {
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 8999 }), fc.boolean(), (mtu, hints) => {
      const { found, volleys } = run(mtu, { low: 100, high: 9000, hints });
      assert.equal(found, mtu);
      assert.ok(volleys <= 9, `${volleys} volleys`);
    }),
  );
});

test('a router that says what it takes saves volleys', () => {
  assert.deepEqual(run(1400, { low: 100, high: 1500, hints: true }), { found: 1400, volleys: 2 });
});

test('nothing is asked where nothing is between', () => {
  assert.deepEqual(new Search(1499, 1500).next(), []);
});

test('a volley that is lost is sent once more', () => {
  const search = new Search(100, 1500);
  const first = search.next();
  search.settle();
  assert.deepEqual(search.next(), first);
  for (const size of first) search.answered(size);
  search.settle();
  assert.ok((search.next()[0] ?? 0) > (first.at(-1) ?? 0));
});
