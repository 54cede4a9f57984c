import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkExpr, checkKey, checkName, checkValue, quoteComment, quoteIfname } from './names.ts';
import { parseChains, parseTable } from './parse.ts';
import { render, renderElement } from './render.ts';
import { commands, errnoOf, idempotentRemoval, locate, SEPARATOR } from './transaction.ts';
import type { NftElement, NftTable } from './types.ts';

const TABLE: NftTable = {
  family: 'inet',
  name: 'moor',
  sets: [
    { name: 'within', key: 'ifname . ifname', value: 'verdict' },
    { name: 'out', key: 'ifname', value: 'verdict' },
    { name: 'sources', key: 'ipv4_addr', flags: ['interval'] },
    { name: 'sources6', key: 'ipv6_addr', flags: ['interval'] },
    { name: 'publish', key: 'inet_proto . ipv4_addr . inet_service', value: 'ipv4_addr . inet_service', flags: ['interval'] },
    { name: 'marks', key: 'ipv4_addr', value: 'mark' },
    { name: 'marked', key: 'mark . ether_addr' },
  ],
  chains: [
    {
      name: 'forward',
      hook: { type: 'filter', hook: 'forward', priority: 'filter - 10', policy: 'accept' },
      rules: [
        { expr: 'ct state established,related accept', comment: 'replies' },
        { expr: 'iifname . oifname vmap @within', comment: 'within a network' },
        { expr: 'iifname "br-*" tcp dport { 22, 80 } counter', comment: "it's {odd}; #1" },
      ],
    },
    { name: 'internal', rules: [{ expr: 'drop', comment: 'internal' }] },
  ],
};

const ELEMENTS: readonly NftElement[] = [
  { set: 'within', key: '"br-a" . "br-a"', value: 'accept' },
  { set: 'within', key: '"br-b" . "br-b"', value: 'goto internal' },
  { set: 'out', key: '"eth0.100"', value: 'jump internal' },
  { set: 'out', key: '"br-c"', value: 'drop' },
  { set: 'sources', key: '192.168.7.0/24' },
  { set: 'sources', key: '10.0.0.1' },
  { set: 'sources', key: '10.0.0.3-10.0.0.9' },
  { set: 'sources6', key: 'fd00:0:0:1::/64' },
  { set: 'publish', key: 'tcp . 0.0.0.0/0 . 8000-8010', value: '10.0.0.1 . 80' },
  { set: 'publish', key: 'udp . 10.0.0.0/24 . 53', value: '10.0.0.2 . 5353' },
  { set: 'publish', key: 'sctp . 10.0.0.7 . 9', value: '10.0.0.2 . 9' },
  { set: 'marks', key: '10.0.0.1', value: '0x00000010' },
  { set: 'marked', key: '0x0000abcd . 02:42:0a:00:00:01' },
];

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
  assert.deepEqual(idempotentRemoval({ ...element, op: 'remove' }), [
    'add element inet moor within { "a" . "b" : accept }',
    'delete element inet moor within { "a" . "b" }',
  ]);
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

/** In a network namespace of its own, dead with its one process. */
function nft(script: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'moor-nft-'));
  try {
    const file = join(directory, 'x.nft');
    writeFileSync(file, script);
    return execFileSync('unshare', ['-n', 'sh', '-c', `nft -f ${file} && nft -j list table inet moor`], { encoding: 'utf8' });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('parse: a listing by nft gives back what was rendered', () => {
  const script = `${render(TABLE)}${ELEMENTS.map((element) => `add element ${renderElement(TABLE, element)}\n`).join('')}`;
  const state = parseTable(nft(script));
  assert.equal(state.family, 'inet');
  assert.equal(state.name, 'moor');
  assert.deepEqual(state.chains, { forward: ['replies', 'within a network', "it's {odd}; #1"], internal: ['internal'] });
  const wanted: Record<string, Record<string, string>> = {};
  for (const set of TABLE.sets) wanted[set.name] = {};
  for (const { set, key, value } of ELEMENTS) (wanted[set] ??= {})[key] = value ?? '';
  assert.deepEqual(state.sets, wanted);
});

test('parse: the one-line commands make the same table as the file', () => {
  const line = [
    ...commands({ kind: 'nft-table', op: 'add', table: TABLE }),
    ...ELEMENTS.flatMap((element) => commands({ kind: 'nft-element', op: 'add', table: TABLE, element }, { fresh: true })),
  ].join(SEPARATOR);
  const twice = commands({ kind: 'nft-table', op: 'add', table: TABLE }, { update: true }).join(SEPARATOR);
  const file = `${render(TABLE)}${ELEMENTS.map((element) => `add element ${renderElement(TABLE, element)}\n`).join('')}`;
  assert.deepEqual(parseTable(nft(`${line}\n${twice}\n`)), parseTable(nft(file)));
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
