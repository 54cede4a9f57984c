/** Volumes: named and anonymous, filled from the image, kept while they are used. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { leftovers, newWorld, NOTHING, spec, start } from './setup.ts';

test('create, find again, remove; in words that Docker users know', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { volumes } = bench.containers;
  const volume = await volumes.create({ name: 'data', labels: { a: 'b' } });
  assert.equal(volume.mountpoint, join(world.directory, 'volumes/data/_data'));
  assert.ok(existsSync(volume.mountpoint));
  assert.equal(await volumes.create({ name: 'data' }), volume);
  const unnamed = await volumes.create({});
  assert.match(unnamed.name, /^[0-9a-f]{64}$/);
  assert.equal(unnamed.anonymous, true);
  await assert.rejects(volumes.create({ name: '../x' }), { kind: 'invalid', message: /includes invalid characters/ });
  await assert.rejects(volumes.create({ name: 'x' }), { kind: 'invalid', message: /too short/ });
  await assert.rejects(volumes.create({ name: 'opt', options: { type: 'nfs' } }), {
    kind: 'invalid',
    message: /invalid option: "type"/,
  });
  await volumes.remove('data', { force: false });
  assert.equal(existsSync(join(world.directory, 'volumes/data')), false);
  await assert.rejects(volumes.remove('data', { force: false }), { kind: 'not-found', message: 'get data: no such volume' });
  await volumes.remove('data', { force: true });
  assert.deepEqual((await volumes.prune(({ anonymous }) => anonymous)).names, [unnamed.name]);
  assert.deepEqual(await leftovers(world), NOTHING);
});

test('a container makes its volumes, keeps them from removal, and takes anonymous ones along', async () => {
  using world = newWorld();
  await using bench = await start(world, { image: { config: { Cmd: ['sh'], Volumes: { '/cache': {} } } } });
  const { containers } = bench;
  const { container } = await containers.create(spec({ name: 'web', host: { Binds: ['data:/data:ro', '/srv/x:/x'] } }));
  assert.deepEqual(
    container.mounts.map(({ type, destination, readOnly }) => [type, destination, readOnly]),
    [
      ['volume', '/data', true],
      ['bind', '/x', false],
      ['volume', '/cache', false],
    ],
  );
  const anonymous = container.mounts[2]?.name ?? '';
  await assert.rejects(containers.volumes.remove('data', { force: false }), {
    kind: 'conflict',
    message: `remove data: volume is in use - [${container.id}]`,
  });
  assert.deepEqual((await containers.volumes.prune(() => true)).names, []);
  await containers.remove('web', { force: false, volumes: true });
  assert.throws(() => containers.volumes.get(anonymous), { kind: 'not-found' });
  assert.equal(containers.volumes.get('data').name, 'data');
  await containers.volumes.remove('data', { force: false });
  assert.deepEqual(await leftovers(world), NOTHING);
});

test('a new volume gets what the image has at its place, once, without leaving the root', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  const root = join(world.directory, 'root');
  mkdirSync(join(root, 'data/sub'), { recursive: true });
  writeFileSync(join(root, 'data/sub/file'), 'from the image');
  writeFileSync(join(world.directory, 'secret'), 'of the host');
  symlinkSync(world.directory, join(root, 'link'));
  const run = async (bind: string): Promise<void> => {
    const { id } = (await containers.create(spec({ host: { Binds: [bind] } }))).container;
    await containers.remove(id, { force: false, volumes: false });
  };
  const at = (name: string, file: string): string => join(world.directory, 'volumes', name, '_data', file);
  await run('full:/data');
  assert.equal(readFileSync(at('full', 'sub/file'), 'utf8'), 'from the image');
  writeFileSync(at('full', 'sub/file'), 'changed');
  await run('full:/data');
  assert.equal(readFileSync(at('full', 'sub/file'), 'utf8'), 'changed');
  await run('empty:/data:nocopy');
  assert.equal(existsSync(at('empty', 'sub')), false);
  await run('outside:/link');
  assert.equal(existsSync(at('outside', 'secret')), false);
});

test('a creation that fails takes its volumes back, not those of others', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  await containers.volumes.create({ name: 'mine' });
  world.roots.failure = new Error('no space left on device');
  await assert.rejects(containers.create(spec({ host: { Binds: ['mine:/a', 'fresh:/b'] } })), {
    message: 'no space left on device',
  });
  assert.deepEqual(
    containers.volumes.list().map(({ name }) => name),
    ['mine'],
  );
  assert.equal(existsSync(join(world.directory, 'volumes/fresh')), false);
  assert.deepEqual(await leftovers(world), { ...NOTHING, rows: ['volume/mine'] });
});
