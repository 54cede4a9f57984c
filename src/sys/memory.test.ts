import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { releaseFilePages } from './memory.ts';

const fileKib = (): number => Number(/RssFile:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]);

test('pages of the program are given back, and come again when they are needed', () => {
  const before = fileKib();
  assert.ok(releaseFilePages(process.execPath) > 0);
  const after = fileKib();
  assert.ok(after < before / 2, `${before} KiB before, ${after} KiB after`);
  // Code, read-only data and relocated data are all used by this.
  assert.equal(JSON.stringify(new Intl.DateTimeFormat('en', { timeZone: 'UTC' }).format(0)), '"1/1/1970"');
  assert.equal(crypto.randomUUID().length, 36);
});

test('a file that is not mapped has nothing to give back', () => {
  assert.equal(releaseFilePages('/nonexistent'), 0);
});
