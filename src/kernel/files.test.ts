/** Files that a crash left behind. What files do in a plan, the conformance suite of the kernel tells. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
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

test('a file that cannot be written leaves no folder', (t) => {
  const { root, path } = place(t);
  // NAME_MAX is 255 (<linux/limits.h>): the name fits, the one beside it does not.
  const long = `${path}${'x'.repeat(249)}`;
  assert.throws(() => applyFile({ kind: 'file', path: long, value: 'x', old: null }, [root]), /ENAMETOOLONG/);
  assert.deepEqual(readdirSync(root), []);
  writeFileSync(`${root}/sandboxes`, 'a file, not a folder');
  assert.throws(() => applyFile({ kind: 'file', path, value: 'x', old: null }, [root]), /EEXIST|ENOTDIR/);
  assert.deepEqual(readdirSync(root), ['sandboxes']);
});

test('a file that is written in place stays the same file, whatever its length, and is left alone when it was edited', (t) => {
  const { root, path } = place(t);
  const change = { kind: 'file', path, inPlace: true } as const;
  assert.deepEqual(applyFile({ ...change, value: 'first\n', old: null }, [root]), { state: 'changed' });
  const { ino } = statSync(path);
  // Longer and shorter than what it is read into (16 KiB), and just as long.
  for (const value of ['x'.repeat(20_000), 'é', 'y'.repeat(16 << 10), 'ab', '']) {
    assert.deepEqual(applyFile({ ...change, value, old: null }, [root]), { state: 'changed' });
    assert.equal(readFileSync(path, 'utf8'), value);
    assert.deepEqual(applyFile({ ...change, value, old: null }, [root]), { state: 'already' });
  }
  assert.equal(statSync(path).ino, ino);
  writeFileSync(path, 'edited');
  assert.deepEqual(applyFile({ ...change, value: 'new', old: 'what it was', unlessEdited: true }, [root]), { state: 'already' });
  assert.equal(readFileSync(path, 'utf8'), 'edited');
});
