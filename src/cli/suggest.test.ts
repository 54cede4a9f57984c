import assert from 'node:assert/strict';
import { it } from 'node:test';
import { editDistance, suggestion } from './suggest.ts';

const COMMANDS = ['create', 'connect', 'disconnect', 'inspect', 'ls', 'prune', 'rm'];

it('names the nearest word', () => {
  assert.equal(suggestion('crate', COMMANDS), ' (did you mean create?)');
  assert.equal(suggestion('isnpect', COMMANDS), ' (did you mean inspect?)');
  assert.equal(suggestion('discon', COMMANDS), ' (did you mean disconnect?)');
  assert.equal(suggestion('sl', COMMANDS), '');
  assert.equal(suggestion('frobnicate', COMMANDS), '');
});

it('counts edits, a swap of neighbours as one', () => {
  assert.equal(editDistance('', 'abc'), 3);
  assert.equal(editDistance('abc', 'abc'), 0);
  assert.equal(editDistance('subent', 'subnet'), 1);
  assert.equal(editDistance('kitten', 'sitting'), 3);
});
