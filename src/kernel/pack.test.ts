import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Change, HOST } from '../contracts/change.ts';
import type { NftElement, NftTableRef } from '../nft/types.ts';
import { pack, unpack } from './pack.ts';

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
  assert.deepEqual(unpack(structuredClone(packed)), list);
  assert.equal(packed.length, 5, 'runs of one table are one each');
});
