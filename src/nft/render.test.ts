import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ELEMENTS, TABLE } from './fixture.testing.ts';
import { checkExpr, checkKey, checkName, checkValue, quoteComment, quoteIfname } from './names.ts';
import { parseChains, parseTable } from './parse.ts';
import { render } from './render.ts';
import { commands, errnoOf, locate, SEPARATOR } from './transaction.ts';
import type { NftTable } from './types.ts';

test('render: the text of a table', () => {
  assert.equal(
    render({ ...TABLE, sets: TABLE.sets.slice(0, 3) }),
    `table inet moor {
	map within {
		type ifname . ifname : verdict
	}

	map out {
		type ifname : verdict
	}

	set sources {
		type ipv4_addr
		flags interval
	}

	chain forward {
		type filter hook forward priority filter - 10; policy accept;
		ct state established,related accept comment "replies"
		iifname . oifname vmap @within comment "within a network"
		iifname "br-*" tcp dport { 22, 80 } counter comment "it's {odd}; #1"
	}

	chain internal {
		drop comment "internal"
	}
}
`,
  );
});

test('commands: strict ones, and those that update a table in place', () => {
  const table: NftTable = { ...TABLE, sets: TABLE.sets.slice(0, 1), chains: TABLE.chains.slice(1) };
  assert.deepEqual(commands({ kind: 'nft-table', op: 'add', table }), [
    'create table inet moor',
    'add map inet moor within { type ifname . ifname : verdict; }',
    'add chain inet moor internal',
    'add rule inet moor internal drop comment "internal"',
  ]);
  assert.deepEqual(commands({ kind: 'nft-table', op: 'add', table }, { update: true }), [
    'add table inet moor',
    'add map inet moor within { type ifname . ifname : verdict; }',
    'add chain inet moor internal',
    'flush chain inet moor internal',
    'add rule inet moor internal drop comment "internal"',
  ]);
  const element = { kind: 'nft-element', table, element: { set: 'within', key: '"a" . "b"', value: 'accept' } } as const;
  assert.deepEqual(commands({ ...element, op: 'add' }), ['create element inet moor within { "a" . "b" : accept }']);
  assert.deepEqual(commands({ ...element, op: 'remove' }), ['delete element inet moor within { "a" . "b" }']);
  const rule = {
    kind: 'nft-rule',
    family: 'ip',
    table: 'filter',
    chain: 'DOCKER-USER',
    rule: { expr: 'iifname "br-*" accept', comment: 'moor' },
  } as const;
  assert.deepEqual(commands({ ...rule, op: 'add' }), ['insert rule ip filter DOCKER-USER iifname "br-*" accept comment "moor"']);
  assert.deepEqual(commands({ ...rule, op: 'remove' }), []);
  assert.deepEqual(commands({ ...rule, op: 'remove' }, { handle: 7 }), ['delete rule ip filter DOCKER-USER handle 7']);
});

test('names, keys, values, rules: what nft could read as something else is refused', () => {
  const bad = (check: (text: string) => string, ...texts: readonly string[]): void => {
    for (const text of texts) assert.throws(() => check(text), { kind: 'invalid' }, JSON.stringify(text));
  };
  bad(checkName, '', 'a b', 'a;b', 'a{', '1a', 'a"', 'a\n', 'a#', '-a', 'a'.repeat(256));
  bad(
    checkKey,
    '',
    'a, b',
    '"a" "b"',
    '"a',
    'a }',
    'a;',
    '"a"; flush ruleset',
    'a : b',
    '"a\\"',
    '"\n"',
    'a .b',
    'a . ',
    '$x',
    '@s',
    '"a" . ',
  );
  bad(checkValue, '', 'goto a b', 'jump', 'goto x; flush', 'accept, "b" : drop', 'goto "x"', 'queue 1');
  bad(quoteComment, '', 'a"b', 'a\nb', 'a\0', 'ä'.repeat(64), 'x'.repeat(128));
  bad(quoteIfname, '', 'a"', 'eth*', 'a b', 'a/b', 'a\\', 'x'.repeat(16));
  bad(
    checkExpr,
    '',
    ' ',
    'drop; flush ruleset',
    'drop # x',
    'a }',
    '{ a',
    '( }',
    'ip saddr "a',
    'drop\naccept',
    'a\\',
    '$x',
    "'",
    '`',
    '}{',
  );
  assert.equal(quoteIfname('br-1.2:3'), '"br-1.2:3"');
  for (const { key, value } of ELEMENTS) {
    assert.equal(checkKey(key), key);
    if (value !== undefined) assert.equal(checkValue(value), value);
  }
  assert.equal(checkKey('::1'), '::1');
  assert.equal(checkKey('::/0'), '::/0');
});

const HOSTILE = 'ab1 .:/-_*"\\;{}()#$,\n\t@=!';

test('names, keys, values, comments, rules: whatever is accepted stays one thing', () => {
  // Alphabet of what nft gives a meaning, so that near misses are common.
  const hostile = fc.string({
    unit: fc.constantFrom(...HOSTILE.split(''), ' . ', '"a"', 'accept', '10.0.0.0/8'),
    maxLength: 12,
  });
  const unquoted = (text: string): string => text.replaceAll(/"[^"]*"/g, '');
  const accepts = (check: (text: string) => string, text: string): string | null => {
    try {
      return check(text);
    } catch {
      return null;
    }
  };
  fc.assert(
    fc.property(hostile, (text) => {
      for (const check of [checkName, checkKey, checkValue, quoteComment, quoteIfname]) {
        const plain = unquoted(accepts(check, text) ?? '');
        assert.doesNotMatch(plain, /["\\;{}#$,\n]/, `${check.name} let ${JSON.stringify(text)} pass`);
      }
      const expr = unquoted(accepts(checkExpr, text) ?? '');
      assert.doesNotMatch(expr, /["\\;#$\n]/, `checkExpr let ${JSON.stringify(text)} pass`);
      assert.equal(expr.split('{').length, expr.split('}').length);
    }),
    { numRuns: 5000 },
  );
});

test('parse: elements with time-outs, foreign rules, base chains', () => {
  const text = JSON.stringify({
    nftables: [
      { metainfo: { version: '1.0.6' } },
      { table: { family: 'inet', name: 'moor', handle: 1 } },
      { set: { family: 'inet', name: 's', table: 'moor', type: 'ipv4_addr', elem: [{ elem: { val: '10.0.0.1', expires: 9 } }] } },
      { chain: { family: 'inet', table: 'moor', name: 'c', type: 'filter', hook: 'forward', prio: 0, policy: 'drop' } },
      { chain: { family: 'ip', table: 'filter', name: 'DOCKER-USER' } },
      { rule: { family: 'inet', table: 'moor', chain: 'c', handle: 4, expr: [] } },
    ],
  });
  assert.deepEqual(parseTable(text).sets, { s: { '10.0.0.1': '' } });
  assert.deepEqual(parseTable(text).chains['c'], ['']);
  const chains = parseChains(text);
  assert.deepEqual(chains.base, [{ family: 'inet', table: 'moor', chain: 'c', type: 'filter', hook: 'forward', policy: 'drop' }]);
  assert.ok(chains.regular.has('ip filter DOCKER-USER'));
  for (const broken of ['', '{}', '[]', '{"nftables":[1]}', '{"nftables":[]}'])
    assert.throws(() => parseTable(broken), { kind: 'internal' });
});

test('locate: every failed command of a line, by its carets', () => {
  const list = ['create element inet t s { "ä" }', 'create element inet t s { "b" }', 'delete element inet t s { "c" }'];
  const line = list.join(SEPARATOR);
  const under = (text: string): string => ' '.repeat(Buffer.from(line).indexOf(text)) + '^'.repeat(text.length);
  const output = `Error: Could not process rule: File exists\n${line}\n${under('"b"')}\nError: element does not exist\n${line}\n${under('"c"')}\n`;
  assert.deepEqual(locate(list, output), [
    { command: 1, message: 'File exists' },
    { command: 2, message: 'element does not exist' },
  ]);
  assert.deepEqual(locate(list, 'internal:0:0-0: Error: Could not process rule: Operation not permitted\n'), [
    { command: -1, message: 'Operation not permitted' },
  ]);
  assert.deepEqual(errnoOf('No such file or directory; did you mean table ‘moor’ in family inet?'), [2, 'ENOENT']);
  assert.deepEqual(errnoOf('syntax error'), [0, '']);
});
