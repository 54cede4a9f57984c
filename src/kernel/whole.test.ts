import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Change, HOST } from '../contracts/change.ts';
import type { NftTable } from '../nft/types.ts';
import { wholeOf } from './whole.ts';

const REF = { family: 'inet', name: 'moor' } as const;
const TABLE: NftTable = { ...REF, sets: [{ name: 'bridges', key: 'ifname' }], chains: [] };
const table: Change = { kind: 'nft-table', op: 'add', table: TABLE };
const elements = (count: number): Change[] =>
  Array.from({ length: count }, (_, i) => ({
    kind: 'nft-element',
    op: 'add',
    table: { ...REF },
    element: { set: 'bridges', key: `"br${i}"` },
  }));
const flow: Change = { kind: 'conntrack', tuple: { family: 4, protocol: 'udp', destinationPort: 53 } };

test('a table with all that is in it, and connections to forget', () => {
  const whole = wholeOf([table, ...elements(40), flow, flow]);
  assert.ok(whole);
  assert.match(whole.text, /^create table inet moor; .*; add element inet moor bridges \{ "br0", "br1", .*"br39" \}$/);
  assert.deepEqual(whole.rest, [flow, flow]);
  const states = whole.results([{ state: 'already' }, { state: 'changed' }]).map(({ state }) => state);
  assert.deepEqual(states, [...Array.from({ length: 41 }, () => 'changed'), 'already', 'changed']);
});

test('anything else goes the usual way', () => {
  const link: Change = { kind: 'link', op: 'add', netns: HOST, link: { name: 'br0', kind: { type: 'bridge' }, up: true } };
  const bad: Change = { kind: 'nft-element', op: 'add', table: REF, element: { set: 'bridges', key: '"br" }; flush ruleset' } };
  for (const list of [
    [],
    [table, ...elements(5)],
    elements(40),
    [table, ...elements(40), link],
    [table, ...elements(40), bad],
    [{ ...table, netns: '/run/netns/a' } as Change, ...elements(40)],
    [...elements(40), { ...table, op: 'remove' } as Change],
  ]) {
    assert.equal(wholeOf(list), null);
  }
});
