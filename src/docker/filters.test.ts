import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFilters } from './filters.ts';

test('both spellings of a filter map are read, null and nothing are no filter', () => {
  assert.deepEqual(parseFilters('{"name":{"a":true,"b":true}}').values('name'), ['a', 'b']);
  assert.deepEqual(parseFilters('{"name":["a","b","a"]}').values('name'), ['a', 'b']);
  for (const text of ['', 'null', '{}', '{"name":null}']) assert.deepEqual(parseFilters(text).values('name'), []);
});

test('anything else is refused', () => {
  for (const text of ['x', '[]', '1', '"name"', '{"name":"a"}', '{"name":[1]}', '{"name":{"a":1}}', '{"name":true}']) {
    assert.throws(() => parseFilters(text), { kind: 'invalid', message: 'invalid filter' }, text);
  }
});

test('unknown keys are refused by name', () => {
  const filters = parseFilters('{"colour":["red"]}');
  assert.throws(() => filters.accept(['name']), { kind: 'invalid', message: "invalid filter 'colour'" });
});

test('a name matches by part, by expression, by equality', () => {
  const matches = (value: string, name: string): boolean => parseFilters(JSON.stringify({ name: [value] })).matches('name', name);
  assert.equal(matches('net', 'my_net2'), true);
  assert.equal(matches('^net', 'my_net2'), false);
  assert.equal(matches('^my.*2$', 'my_net2'), true);
  assert.equal(matches('(?i)MY', 'my_net2'), true);
  assert.equal(matches('(', '('), true, 'no expression, but equal');
  assert.equal(matches('(', 'x('), false);
  assert.equal(matches('other', 'my_net2'), false);
  assert.equal(matches(String.raw`(a)\1`, 'aa'), false, 'as in Go there are no back references');
});

test('labels: all of them, by key or key and value', () => {
  const matches = (values: readonly string[]): boolean =>
    parseFilters(JSON.stringify({ label: values })).labels('label', { a: '1', b: '', 'x=y': 'z' });
  assert.equal(matches([]), true);
  assert.equal(matches(['a']), true);
  assert.equal(matches(['a=1', 'b']), true);
  assert.equal(matches(['b=']), true);
  assert.equal(matches(['a=2']), false);
  assert.equal(matches(['a', 'c']), false);
  assert.equal(matches(['toString']), false);
});

test('a boolean filter takes one of four words', () => {
  const read = (values: readonly string[]): boolean | undefined =>
    parseFilters(JSON.stringify({ dangling: values })).boolean('dangling');
  assert.equal(read(['true']), true);
  assert.equal(read(['1']), true);
  assert.equal(read(['false']), false);
  assert.equal(read(['0']), false);
  assert.equal(parseFilters('{}').boolean('dangling'), undefined);
  assert.throws(() => read(['yes']), {
    message: `invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`,
  });
  assert.throws(() => read([]), { kind: 'invalid' });
  assert.throws(() => read(['true', 'false']), { message: 'got more than one value for filter key "dangling"' });
});
