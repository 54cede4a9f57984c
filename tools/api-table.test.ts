import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { apiTable, GUIDE, withTable } from './api-table.ts';

test('every call has one row, with its path in the notation of Docker', () => {
  const rows = apiTable().split('\n').slice(2);
  const calls = rows.map((row) =>
    row
      .split('|')
      .slice(1, 3)
      .map((cell) => cell.trim())
      .join(' '),
  );
  assert.equal(new Set(calls).size, calls.length);
  assert.ok(calls.includes('GET `/images/{name}/json`'));
  assert.ok(calls.includes('POST `/containers/{id}/attach`'));
  assert.match(rows.find((row) => row.includes('`/build`')) ?? '', /501: building images/);
});

test('the table of the guide is the one that the routes make', {
  skip: existsSync(GUIDE) ? false : 'the guide is not written yet',
}, () => {
  const guide = readFileSync(GUIDE, 'utf8');
  assert.equal(guide, withTable(guide));
});
