/** docs/rules: each page made on a host of its own, and compared with what stands there. GUIDE=write records the outputs anew. */
// test-timeout: 300 s
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { suite, test } from 'node:test';
import { executePage, guideHost } from '../support/guide-host.ts';

const FOLDER = resolve(import.meta.dirname, '../../docs/rules');
const INDEX = 'docs/rules/README.md';

/** The index, and what matrix.test.ts makes. */
const OTHERS = new Set(['README.md', 'reachability.md']);
const PAGES = readdirSync(FOLDER).filter((name) => name.endsWith('.md') && !OTHERS.has(name));

suite('docs/rules', () => {
  test('the index has all pages', () => {
    const index = readFileSync(resolve(FOLDER, 'README.md'), 'utf8');
    const linked = Array.from(index.matchAll(/^\| \[[^\]]+\]\(([^)]+)\)/gm), ([, name = '']) => name);
    assert.deepEqual(linked.toSorted(), PAGES.toSorted());
    assert.equal(PAGES.length, 8);
  });

  for (const page of PAGES) {
    test(page, async () => {
      await using stack = new AsyncDisposableStack();
      const host = await guideHost(stack);
      // The server that all pages use.
      await executePage(INDEX, host);
      assert.ok((await executePage(`docs/rules/${page}`, host)) >= 2, 'the page has its outputs');
    });
  }
});
