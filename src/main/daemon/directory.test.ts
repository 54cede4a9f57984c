import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { it } from 'node:test';
import { makeDirectory } from './directory.ts';

it('makes what is missing, and says why it cannot', (t) => {
  const root = mkdtempSync('/tmp/moor-directory-');
  t.after(() => rmSync(root, { recursive: true }));
  makeDirectory(`${root}/a/b`, 0o700);
  makeDirectory(`${root}/a/b`, 0o755);
  assert.deepEqual(
    [`${root}/a`, `${root}/a/b`].map((path) => statSync(path).mode & 0o777),
    [0o700, 0o700],
  );
  writeFileSync(`${root}/file`, '');
  symlinkSync('nowhere', `${root}/link`);
  const REFUSED = [
    [`${root}/file`, 'it is there, and is none'],
    [`${root}/file/below`, 'not a directory'],
    [`${root}/link`, 'no such file or directory'],
    // Where Node's own way of making several does not come back.
    ['/proc/moor-none', 'no such file or directory'],
    ['/proc/moor-none/below', 'no such file or directory'],
  ] as const;
  for (const [path, why] of REFUSED) {
    assert.throws(() => makeDirectory(path, 0o755), { kind: 'unavailable', message: `Cannot make directory ${path}: ${why}` });
  }
});
