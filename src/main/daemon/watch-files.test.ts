import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../base/clock.ts';
import { watchFiles } from './watch-files.ts';

/** Milliseconds until a test gives up. */
const PATIENCE = 5000;

function lab(t: TestContext): { readonly root: string; readonly told: (what: string, change: () => void) => Promise<void> } & {
  readonly watch: (...paths: readonly string[]) => void;
  readonly quiet: (what: string, change: () => void) => Promise<void>;
} {
  const root = mkdtempSync(join(tmpdir(), 'moor-watch-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  let count = 0;
  return {
    root,
    watch(...paths) {
      const watcher = watchFiles(paths, () => count++, silentLogger);
      t.after(() => watcher[Symbol.dispose]());
    },
    async told(what, change) {
      const before = count;
      change();
      const end = performance.now() + PATIENCE;
      while (count === before) {
        assert.ok(performance.now() < end, `${what} was not noticed`);
        await sleep(5);
      }
    },
    async quiet(what, change) {
      const before = count;
      change();
      await sleep(200);
      assert.equal(count, before, what);
    },
  };
}

test('a file that is written, replaced, removed, and comes back', async (t) => {
  const { root, watch, told, quiet } = lab(t);
  const file = join(root, 'resolv.conf');
  writeFileSync(file, 'a');
  watch(file);
  await quiet('other names of the folder are no news', () => writeFileSync(join(root, 'other'), 'x'));
  await told('a write', () => writeFileSync(file, 'b'));
  await told('a replacement', () => {
    writeFileSync(`${file}.new`, 'c');
    renameSync(`${file}.new`, file);
  });
  await told('a write into the new one', () => writeFileSync(file, 'd'));
  await told('a removal', () => unlinkSync(file));
  await told('a new file', () => writeFileSync(file, 'e'));
  await told('a write into that', () => writeFileSync(file, 'f'));
});

test('a link: what it leads to, and where it leads', async (t) => {
  const { root, watch, told } = lab(t);
  for (const folder of ['etc', 'run', 'other']) mkdirSync(join(root, folder));
  const link = join(root, 'etc/resolv.conf');
  const stub = join(root, 'run/stub.conf');
  const elsewhere = join(root, 'other/resolv.conf');
  writeFileSync(stub, 'a');
  writeFileSync(elsewhere, 'b');
  symlinkSync('../run/stub.conf', link);
  watch(link);
  await told('a write through the link', () => writeFileSync(link, 'c'));
  await told('a replacement of what it leads to', () => {
    writeFileSync(`${stub}.new`, 'd');
    renameSync(`${stub}.new`, stub);
  });
  await told('another target', () => {
    symlinkSync(elsewhere, `${link}.new`);
    renameSync(`${link}.new`, link);
  });
  await told('a write into the other target', () => writeFileSync(elsewhere, 'e'));
});

test('a file that is not there yet, in a folder that is', async (t) => {
  const { root, watch, told } = lab(t);
  const loop = join(root, 'loop');
  symlinkSync('loop', loop);
  watch(join(root, 'none'), loop, join(root, 'no/folder'));
  await told('a new file', () => writeFileSync(join(root, 'none'), 'x'));
});
