import '../support/isolated.ts';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { imageArchive } from '../support/images.ts';
import { openSqliteStore } from '../../src/store/sqlite/store.ts';
import { openImages, scratch, writeTar } from '../../src/containers/images/images.testing.ts';

const KILLS = 15;

test('kill -9 at any time: what was acknowledged is there and whole, and nothing else', async () => {
  using dir = scratch();
  const data = dir.path('data');
  mkdirSync(data);
  const names = ['shared', 'one', 'two'];
  const [shared = '', one = '', two = ''] = names.map((name) => {
    const files = Array.from({ length: 200 }, (_, index) => ({ name: `${name}/${index}`, content: name.repeat(50) }));
    return writeTar(dir.path(name), ...files);
  });
  imageArchive(dir.path('1.tar'), { layers: [shared, one], tags: ['one:1'] });
  imageArchive(dir.path('2.tar'), { layers: [shared, two], tags: ['two:1'] });
  for (let kill = 0; kill < KILLS; kill++) {
    const script = join(import.meta.dirname, 'images-crash.child.ts');
    const child = spawn(process.execPath, [script, data, dir.path('1.tar'), dir.path('2.tar')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    const ended = once(child, 'close');
    await once(child.stdout, 'data');
    // Other moments each time; what is checked holds at all of them.
    await sleep(kill * 11);
    child.kill('SIGKILL');
    await ended;
    await using store = await openSqliteStore({ file: join(data, 'store.db') });
    const { images } = await openImages(data, { store });
    // A removal that was announced may have happened or not; a load that was acknowledged has.
    const lines = said.trim().split('\n');
    for (const [index, line] of lines.entries()) {
      const name = line.slice(1);
      if (line.startsWith('+') && !lines.slice(index + 1).includes(`-${name}`))
        assert.deepEqual(images.get(name).tags, [name], said);
    }
    const chains = new Set<string>();
    for (const { id, tags } of images.list()) {
      const top = tags[0]?.split(':')[0] ?? '';
      const lower = images.lower(id);
      assert.equal(lower.length, 2);
      for (const [index, layer] of [top, 'shared'].entries()) {
        const folder = join(lower[index] ?? '', layer);
        assert.equal(readdirSync(folder).length, 200);
        assert.equal(readFileSync(join(folder, '199'), 'utf8'), layer.repeat(50));
      }
      for (const each of lower) chains.add(each);
    }
    assert.equal(readdirSync(join(data, 'images/l')).length, chains.size);
    assert.equal(readdirSync(join(data, 'images/configs')).length, images.list().length);
    assert.deepEqual(readdirSync(join(data, 'images/tmp')), []);
  }
});
