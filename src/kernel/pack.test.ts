import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Change, HOST } from '../contracts/change.ts';
import type { NftElement, NftTableRef } from '../nft/types.ts';
import type { NftTable } from '../nft/types.ts';
import { pack, packResults, unpack, unpackResults } from './pack.ts';

const OURS: NftTableRef = { family: 'inet', name: 'moor' };
const element = (value: NftElement, table = OURS): Change => ({ kind: 'nft-element', op: 'add', table, element: value });
const remove = (change: Change): Change => ({ ...change, op: 'remove' }) as Change;
const link: Change = { kind: 'link', op: 'add', netns: HOST, link: { name: 'br0', kind: { type: 'bridge' }, up: true } };

test('what travels is the same list, in the same order', () => {
  const other: NftTableRef = { family: 'ip', name: 'moor' };
  const list: Change[] = [
    element({ set: 'bridges', key: '"a"' }),
    element({ set: 'within', key: '"a" . "a"', value: 'goto pass' }),
    link,
    element({ set: 'bridges', key: '"b"' }),
    remove(element({ set: 'bridges', key: '"b"' })),
    element({ set: 'bridges', key: '"b"' }, other),
    element({ set: 'bridges', key: '"c"' }, { ...other }),
  ];
  const packed = pack(list);
  assert.deepEqual(unpack(packed), list);
  assert.equal((JSON.parse(packed) as unknown[]).length, 5, 'runs of one table are one each');
});

test('a table that both sides know travels by its number, another one whole', () => {
  const table = (name: string): NftTable => ({ family: 'ip', name, sets: [], chains: [] });
  const [here, there] = [table('names'), table('names')];
  const change = (one: NftTable): Change => ({ kind: 'nft-table', op: 'add', table: one, netns: '/run/netns/a' });
  const packed = pack([change(here), change(table('names')), { kind: 'nft-table', op: 'remove', table: here }], [here]);
  const [known, same, host] = unpack(packed, [there]);
  assert.equal(packed.match(/"name":"names"/g)?.length, 1);
  assert.ok(known?.kind === 'nft-table' && known.table === there, 'the very object of the other side');
  assert.deepEqual(same, change(here));
  assert.deepEqual(host, { kind: 'nft-table', op: 'remove', table: there });
  assert.throws(() => unpack(packed, []), /no table 0 is known here/);
});

test('results travel as letters, and failures keep their errors in order', () => {
  const failure = (message: string) => ({ state: 'failed', error: { kind: 'conflict', message } }) as const;
  const results = [{ state: 'changed' }, failure('a'), { state: 'already' }, failure('b'), { state: 'skipped' }] as const;
  assert.deepEqual(unpackResults(structuredClone(packResults(results))), results);
});
