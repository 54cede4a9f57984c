import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { readImports, readTree, type SourceFile } from './read.ts';
import { readDesign, violations } from './rules.ts';
import { LAYERS, type Layer } from './table.ts';

const DESIGN = readDesign(readFileSync(resolve(import.meta.dirname, '../../docs/architecture.md'), 'utf8'));

function tree(sources: Readonly<Record<string, string>>): readonly SourceFile[] {
  return Object.entries(sources).map(([path, text]) => ({ path, imports: readImports(path, text) }));
}

function check(sources: Readonly<Record<string, string>>): readonly string[] {
  return violations({ files: tree(sources), layers: LAYERS, design: DESIGN });
}

function withLayer(layer: Layer): readonly Layer[] {
  return [...LAYERS.filter(({ folder }) => folder !== layer.folder), layer];
}

test('a tree that follows the design has no violation', () => {
  const found = check({
    'base/ip.ts': `import { isIP } from 'node:net'; export const ip = isIP;`,
    'sys/fd.ts': `import koffi from 'koffi'; import type { A } from '../base/ip.ts';`,
    'drivers/names.ts': `import { ip } from '../base/ip.ts';`,
    'drivers/bridge/plan.ts': `import { a } from '../names.ts'; import { b } from './options.ts'; export * from '../../contracts/kernel.ts';`,
    'drivers/bridge/plan.test.ts': `import fc from 'fast-check'; import { fake } from '../../kernel/fake/kernel.ts'; import { lab } from '../../../test/lab.ts';`,
    'wire/arbitrary.ts': `import fc from 'fast-check';`,
    'wire/link.test.ts': `import { link } from './arbitrary.ts';`,
    'main/moord.ts': `import pkg from '../../package.json' with { type: 'json' }; import { engine } from '../engine/engine.ts';`,
  });
  assert.deepEqual(found, []);
});

/** One bad line each, and the words that must come back. */
const BAD: readonly (readonly [name: string, path: string, text: string, expected: RegExp])[] = [
  ['a static import', 'base/a.ts', `import { x } from '../model/x.ts';`, /^src\/base\/a\.ts:1: .*base\/ may not import model\//],
  [
    'a type-only import',
    'engine/a.ts',
    `\nimport type { X } from '../kernel/x.ts';`,
    /^src\/engine\/a\.ts:2: .*engine\/ may not import kernel\//,
  ],
  ['an inline type import', 'engine/a.ts', `type X = import('../sys/x.ts').X;`, /engine\/ may not import sys\//],
  ['a dynamic import', 'cli/a.ts', `const x = await import('../engine/x.ts');`, /cli\/ may not import engine\//],
  ['a dynamic import in a template', 'cli/a.ts', 'const x = await import(`../engine/x.ts`);', /cli\/ may not import engine\//],
  ['an export from', 'model/a.ts', `export { x } from '../contracts/x.ts';`, /model\/ may not import contracts\//],
  ['an export of everything', 'model/a.ts', `export * from '../contracts/x.ts';`, /model\/ may not import contracts\//],
  ['a require', 'store/sqlite/a.ts', `const x = require('../../engine/x.ts');`, /store\/ may not import engine\//],
  ['a worker', 'engine/a.ts', `new Worker(new URL('../kernel/worker.ts', import.meta.url));`, /engine\/ may not import kernel\//],
  ['a computed import', 'main/a.ts', `await import(process.argv[2]);`, /computed path/],
  ['an unknown folder', 'helpers/a.ts', `export {};`, /no layer is called helpers\//],
  ['a file in no folder', 'a.ts', `export {};`, /lies in no layer/],
  ['a sibling driver', 'drivers/bridge/a.ts', `import { x } from '../overlay/x.ts';`, /drivers\/overlay stands alone/],
  ['a driver in the shared part', 'drivers/a.ts', `import { x } from './bridge/x.ts';`, /drivers\/bridge stands alone/],
  ['FFI outside sys', 'netlink/a.ts', `import koffi from 'koffi';`, /netlink\/ may not use the package koffi/],
  ['FFI in a test', 'netlink/a.test.ts', `import koffi from 'koffi';`, /netlink\/ may not use the package koffi/],
  ['a package nobody listed', 'engine/a.ts', `import fastify from 'fastify';`, /engine\/ may not use the package fastify/],
  ['a scoped package', 'engine/a.ts', `import x from '@docker/node-sdk/types';`, /may not use the package @docker\/node-sdk /],
  ['I/O in a pure layer', 'drivers/bridge/a.ts', `import { readFileSync } from 'node:fs';`, /drivers\/ does no I\/O/],
  ['a built-in without its prefix', 'sys/a.ts', `import { readFileSync } from 'fs';`, /write node:fs/],
  ['the composition root', 'cli/a.ts', `import { x } from '../main/x.ts';`, /nobody imports main\//],
  ['the composition root in a test', 'cli/a.test.ts', `import { x } from '../main/x.ts';`, /nobody imports main\//],
  ['a test', 'cli/a.ts', `import { x } from './b.test.ts';`, /nothing may depend on a test/],
  ['what is there for tests', 'wire/a.ts', `import { x } from './link.testing.ts';`, /there for tests only/],
  ['FFI in what is there for tests', 'wire/arbitrary.ts', `import koffi from 'koffi';`, /may not use the package koffi/],
  ['a path outside src', 'cli/a.ts', `import x from '../../package.json';`, /lies outside src\//],
  ['test helpers in code', 'cli/a.ts', `import x from '../../test/lab.ts';`, /lies outside src\//],
];

for (const [name, path, text, expected] of BAD) {
  test(`refused: ${name}`, () => {
    const found = check({ [path]: text });
    assert.equal(found.length, 1, found.join('\n'));
    assert.match(found[0] ?? '', expected);
  });
}

test('refused: a circle of files, even of types only', () => {
  const found = check({
    'model/a.ts': `import type { B } from './b.ts';`,
    'model/b.ts': `import type { C } from './c.ts';`,
    'model/c.ts': `import type { A } from './a.ts';`,
  });
  assert.deepEqual(found, ['Files import each other in a circle: model/a.ts -> model/b.ts -> model/c.ts -> model/a.ts']);
});

test('a worker and the pool that starts it are no circle', () => {
  const pool = `new URL('./worker.ts', import.meta.url); export type Job = string;`;
  assert.deepEqual(check({ 'kernel/pool.ts': pool, 'kernel/worker.ts': `import type { Job } from './pool.ts';` }), []);
});

test('refused: a tree without files', () => {
  assert.match(check({})[0] ?? '', /^Read no file/);
});

test('refused: a table that names a folder which is not in the design', () => {
  const layers = withLayer({ folder: 'ghost', imports: ['base'], packages: [], why: 'gone' });
  assert.deepEqual(violations({ files: tree({ 'base/a.ts': '' }), layers, design: DESIGN }), [
    'The table names ghost/, which is not in the design',
  ]);
});

test('refused: a design that names a folder which is not in the table', () => {
  const layers = LAYERS.filter(({ folder }) => folder !== 'cni');
  assert.deepEqual(violations({ files: tree({ 'base/a.ts': '' }), layers, design: DESIGN }), [
    'The design names cni/, which is not in the table',
  ]);
});

test('refused: a table that differs from the design, names nothing known, or goes in a circle', () => {
  const layers = withLayer({ folder: 'base', imports: ['model', 'nowhere'], packages: [], why: 'wrong' });
  const found = violations({ files: tree({ 'base/a.ts': '' }), layers, design: DESIGN });
  assert.ok(
    found.includes('The table and the design differ on what base/ may import: model nowhere against nothing'),
    found.join('\n'),
  );
  assert.ok(found.includes('The table lets base/ import nowhere/, which it does not know'));
  assert.ok(found.some((fault) => /^Layers import each other in a circle: .*base -> model -> base/.test(fault)));
});

test('refused: a design without a table', () => {
  assert.throws(() => readDesign('## 3. Layers\n\nnothing\n\n## 4. Next\n| `base` | | x |\n'), /has no table/);
});

test('the tree is read from disk, sub-folders too, and a file that does not parse is an error', () => {
  const root = mkdtempSync(join(tmpdir(), 'layers-'));
  try {
    const write = (path: string, text: string): void => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    };
    write('drivers/bridge/plan.ts', `// import './no.ts'\nconst text = "import './no.ts'";\nimport './yes.ts';\n`);
    assert.deepEqual(readTree(root), [
      { path: 'drivers/bridge/plan.ts', imports: [{ specifier: './yes.ts', form: 'static', line: 3 }] },
    ]);
    write('base/broken.ts', 'import {');
    assert.throws(() => readTree(root), /Cannot parse base\/broken\.ts/);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
