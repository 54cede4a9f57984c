import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { detachFilter, parseDetachKeys } from './detach-keys.ts';

test('keys by name', () => {
  assert.deepEqual(parseDetachKeys(''), [16, 17]);
  assert.deepEqual(parseDetachKeys('ctrl-@,a,ctrl-z,ctrl-[,ctrl-_'), [0, 97, 26, 27, 31]);
  for (const bad of ['ctrl-', 'ctrl-A', 'ctrl-1', 'ab', ',', 'ctrl-a,', 'é']) {
    assert.throws(() => parseDetachKeys(bad), { message: `Invalid detach keys (${bad}) provided` }, bad);
  }
});

test('the keys are found over the borders of chunks, and everything before them goes on', () => {
  const keys = [16, 17];
  const input = fc.array(fc.constantFrom(16, 17, 97), { maxLength: 40 });
  fc.assert(
    fc.property(input, fc.array(fc.nat(5)), (bytes, cuts) => {
      const filter = detachFilter(keys);
      const out: number[] = [];
      let detached = false;
      for (let at = 0, cut = 0; at < bytes.length && !detached; cut += 1) {
        const size = (cuts[cut % Math.max(cuts.length, 1)] ?? 0) + 1;
        const result = filter(Buffer.from(bytes.slice(at, at + size)));
        out.push(...result.data);
        detached = result.detached;
        at += size;
      }
      const found = Buffer.from(bytes).indexOf(Buffer.from(keys));
      assert.equal(detached, found >= 0);
      const expected = found >= 0 ? bytes.slice(0, found) : bytes.at(-1) === 16 ? bytes.slice(0, -1) : bytes;
      assert.deepEqual(out, expected);
    }),
  );
});
