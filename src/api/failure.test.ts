import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notFound } from '../base/errors.ts';
import { failureOf } from './failure.ts';

test('a message repeats usual paths and ids whole, and of a word without end only its beginning', () => {
  const shown = (word: string): string => failureOf(notFound(`no such file "${word}": look again`)).message;
  const path = `/srv/${'directory/'.repeat(20)}`;
  assert.equal(shown(path), `no such file "${path}": look again`);
  assert.equal(shown('n'.repeat(4096)), `no such file "${'n'.repeat(64)}...": look again`);
  assert.equal(failureOf(notFound('a b '.repeat(5000))).message.length, 4099);
});
