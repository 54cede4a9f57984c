/** Every test that may touch the kernel refuses to run anywhere but in namespaces of its own. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { test } from 'node:test';
import { readImports } from '../layers/read.ts';
import { findTests } from './groups.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const GUARD = resolve(ROOT, 'test/support/isolated.ts');

/** Kernel tests by their folder, which use fakes or only compute. */
const HARMLESS = /^test\/(api|engine|bench)\//;

/** What is part of the product imports no test (tools/layers), and is not looked through. */
const PRODUCT = /\/src\/.*(?<!\.test|\.testing)\.ts$/;

/** Relative imports that are there at run time, as absolute paths. */
function importsOf(path: string): readonly string[] {
  if (PRODUCT.test(path)) return [];
  return readImports(path, readFileSync(path, 'utf8'))
    .filter(({ form, specifier }) => (form === 'static' || form === 'export') && specifier?.startsWith('.'))
    .map(({ specifier }) => resolve(dirname(path), String(specifier)));
}

const known = new Map<string, readonly string[]>();

function reachesGuard(file: string): boolean {
  const seen = new Set<string>();
  const queue = [resolve(ROOT, file)];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (path === GUARD) return true;
    if (seen.has(path)) continue;
    seen.add(path);
    const next = known.get(path) ?? importsOf(path);
    known.set(path, next);
    queue.push(...next);
  }
  return false;
}

test('every kernel test imports test/support/isolated.ts, itself or by way of others', () => {
  const files = findTests(ROOT).filter(({ group, path }) => group === 'kernel' && !HARMLESS.test(path));
  assert.ok(files.length > 100, `only ${files.length} files were looked at`);
  assert.deepEqual(
    files.filter(({ path }) => !reachesGuard(path)).map(({ path }) => path),
    [],
  );
});

test('no unit test does, as it could not run', () => {
  const files = findTests(ROOT).filter(({ group }) => group === 'unit');
  assert.deepEqual(
    files.filter(({ path }) => reachesGuard(path)).map(({ path }) => path),
    [],
  );
});
