/** Files that a crash left behind. What files do in a plan, the conformance suite of the kernel tells. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { applyFile } from './files.ts';

/** A root, and a path two folders below it. */
function place(t: { after: (undo: () => void) => void }): { readonly root: string; readonly path: string } {
  const root = mkdtempSync(`${tmpdir()}/moor-files-`);
  t.after(() => rmSync(root, { recursive: true }));
  return { root, path: `${root}/sandboxes/one/hosts` };
}

test('removing what is not there takes a folder that a crash left empty', (t) => {
  const { root, path } = place(t);
  mkdirSync(`${root}/sandboxes/one`, { recursive: true });
  assert.deepEqual(applyFile({ kind: 'file', path, value: null, old: 'x' }, [root]), { state: 'already' });
  assert.equal(existsSync(`${root}/sandboxes`), false);
  assert.equal(existsSync(root), true);
});

test('removing takes half a file that a crash left beside it', (t) => {
  const { root, path } = place(t);
  mkdirSync(`${root}/sandboxes/one`, { recursive: true });
  writeFileSync(`${path}.new`, 'hal');
  assert.deepEqual(applyFile({ kind: 'file', path, value: null, old: 'x' }, [root]), { state: 'already' });
  assert.equal(existsSync(`${root}/sandboxes`), false);
});

test('removing leaves a folder in which something else is', (t) => {
  const { root, path } = place(t);
  mkdirSync(`${root}/sandboxes/one`, { recursive: true });
  writeFileSync(path, 'x');
  writeFileSync(`${root}/sandboxes/one/hostname`, 'y');
  assert.deepEqual(applyFile({ kind: 'file', path, value: null, old: 'x' }, [root]), { state: 'changed' });
  assert.equal(readFileSync(`${root}/sandboxes/one/hostname`, 'utf8'), 'y');
});
