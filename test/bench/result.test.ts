import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMet, type Row, summarise } from './result.ts';
import { parseOptions } from './options.ts';
import { table } from './report.ts';

const one = (median: number): Row['values'][keyof Row['values']] => ({ samples: 1, median, min: median, max: median });

test('a summary has the middle value, or the mean of the two in the middle', () => {
  assert.deepEqual(summarise([9, 1, 10]), { samples: 3, median: 9, min: 1, max: 10 });
  assert.deepEqual(summarise([4, 1, 2, 100]), { samples: 4, median: 3, min: 1, max: 100 });
});

test('nothing measured is an error', () => {
  assert.throws(() => summarise([]), RangeError);
});

test('a budget is met up to its very value, and is unknown where ours was not measured', () => {
  const row = { part: 'networks', what: 'x', unit: 'ms', budget: 3 } as const;
  assert.equal(isMet({ ...row, values: { moorline: one(3) ?? summarise([3]) } }), true);
  assert.equal(isMet({ ...row, values: { moorline: one(3.01) ?? summarise([3]) } }), false);
  assert.equal(isMet({ ...row, values: { docker: summarise([1]) } }), undefined);
});

test('a rate has to be as high as its budget, and the table says so', () => {
  const row = { part: 'dns', what: 'queries', unit: 'queries/s', rate: true, budget: 130_000 } as const;
  assert.equal(isMet({ ...row, values: { moorline: summarise([130_000]) } }), true);
  assert.equal(isMet({ ...row, values: { moorline: summarise([129_999]) } }), false);
  const lines = table([{ ...row, values: { moorline: summarise([160_000]), docker: summarise([64_000]) } }]);
  assert.match(lines.at(-1) ?? '', /160000 +64000 0\.4x .*>= 130000 +yes/);
});

test('the table says how many times ours a peer takes', () => {
  const lines = table([
    { part: 'networks', what: 'create', unit: 'ms', budget: 3, values: { moorline: summarise([2, 4]), docker: summarise([60]) } },
  ]);
  const line = lines.find((text) => text.startsWith('create')) ?? '';
  assert.match(line, /3\.00 \(2\.00-4\.00\)/);
  assert.match(line, /60\.0 .*20x/);
  assert.match(line, /<= 3 +yes/);
});

test('parts are chosen by name and keep their order', () => {
  assert.deepEqual(parseOptions(['--only', 'cli', '--only', 'memory'])?.parts, ['memory', 'cli']);
  assert.throws(() => parseOptions(['--only', 'nothing']), /unknown part nothing/);
  assert.equal(parseOptions(['--help']), null);
});
