import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { temporaryFolder } from './temporary.ts';

const before = process.env['TMPDIR'];
after(() => {
  if (before === undefined) delete process.env['TMPDIR'];
  else process.env['TMPDIR'] = before;
});

test('a folder that goes with what is in it', () => {
  let path: string;
  {
    using folder = temporaryFolder('moor-test-');
    ({ path } = folder);
    writeFileSync(`${path}/x`, '');
  }
  assert.equal(existsSync(path), false);
});

test('it lies elsewhere when the place for such folders has vanished', () => {
  process.env['TMPDIR'] = '/nowhere/at/all';
  using folder = temporaryFolder('moor-test-');
  assert.ok(existsSync(folder.path));
});
