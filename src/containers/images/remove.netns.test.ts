import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { imageArchive } from '../../../test/support/images.ts';
import { openImages, scratch, type TestImages, writeTar } from './images.testing.ts';

const CONTAINER = 'c0ffee'.repeat(10) + 'beef';
const free = { force: false, noPrune: false, inUse: () => null };
const used = { ...free, inUse: () => CONTAINER };
const running = { ...used, running: () => CONTAINER };

/** An image of two layers by these names. */
async function setup(
  folder: string,
  ...tags: readonly string[]
): Promise<TestImages & { readonly id: string; readonly short: string }> {
  const opened = await openImages(`${folder}/data`);
  const layers = ['a', 'b'].map((name) => writeTar(`${folder}/${name}`, { name, content: name }));
  const made = imageArchive(`${folder}/i.tar`, { layers, tags });
  await opened.load(`${folder}/i.tar`);
  const short = made.id.slice(7, 19);
  return { ...opened, id: made.id, short };
}

test('with its last name goes the image, its layers top first', async () => {
  using dir = scratch();
  const { images, id, leftovers } = await setup(dir.folder, 'a:1', 'b:1');
  const chain = images.lower(id);
  assert.deepEqual(await images.remove('a:1', free), [{ untagged: 'a:1' }]);
  const removed = await images.remove('docker.io/library/b:1', free);
  assert.deepEqual(removed.slice(0, 2), [{ untagged: 'b:1' }, { deleted: id }]);
  const deleted = removed.slice(2).map((each) => each.deleted?.slice(7, 23));
  assert.deepEqual(
    deleted,
    chain.map((path) => path.split('/').at(-2)),
  );
  assert.deepEqual(await leftovers(), []);
  await assert.rejects(images.remove('b:1', free), { kind: 'not-found', message: 'No such image: b:1' });
  await assert.rejects(images.remove('b', free), { kind: 'not-found', message: 'No such image: b:latest' });
});

test('by id: all names of one repository, or by force', async () => {
  using dir = scratch();
  const { images, id, short, leftovers } = await setup(dir.folder, 'a:1', 'b:1');
  const message = `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories`;
  for (const text of [id, short, id.slice(7)]) await assert.rejects(images.remove(text, free), { kind: 'conflict', message });
  const removed = await images.remove(short, { ...free, force: true });
  assert.deepEqual(removed.slice(0, 3), [{ untagged: 'a:1' }, { untagged: 'b:1' }, { deleted: id }]);
  assert.deepEqual(await leftovers(), []);
});

test('an image that a container uses stays', async () => {
  using dir = scratch();
  const { images, id, short } = await setup(dir.folder, 'a:1', 'b:1');
  // One of two names may go.
  assert.deepEqual(await images.remove('b:1', used), [{ untagged: 'b:1' }]);
  const who = `container ${CONTAINER.slice(0, 12)} is using its referenced image ${short}`;
  await assert.rejects(images.remove('a:1', used), {
    message: `conflict: unable to remove repository reference "a:1" (must force) - ${who}`,
  });
  const stopped = `image is being used by stopped container ${CONTAINER.slice(0, 12)}`;
  await assert.rejects(images.remove(id, used), { message: `conflict: unable to delete ${short} (must be forced) - ${stopped}` });
  const live = `image is being used by running container ${CONTAINER.slice(0, 12)}`;
  for (const force of [false, true]) {
    await assert.rejects(images.remove(id, { ...running, force }), {
      message: `conflict: unable to delete ${short} (cannot be forced) - ${live}`,
    });
  }
  assert.deepEqual(images.get(id).tags, ['a:1']);
  // By force the name goes; the container's root still stands on the layers.
  assert.deepEqual(await images.remove('a:1', { ...running, force: true }), [{ untagged: 'a:1' }]);
  assert.equal(images.lower(id).length, 2);
  assert.deepEqual(images.get(id).tags, []);
});

test('an id is found by an unambiguous prefix, a name before it', async () => {
  using dir = scratch();
  const { images, id, load } = await setup(dir.folder, 'a:1');
  for (const length of [1, 5, 12, 63, 64]) assert.equal(images.get(id.slice(7, 7 + length)).id, id);
  assert.equal(images.get(id.slice(0, 12)).id, id);
  // A name that looks like a prefix of the id.
  const prefix = id.slice(7, 11);
  const layers = [writeTar(dir.path('other'), { name: 'other' })];
  const other = imageArchive(dir.path('o.tar'), { layers, tags: [`${prefix}:latest`] });
  await load(dir.path('o.tar'));
  assert.equal(images.get(prefix).id, other.id);
  assert.deepEqual((await images.remove(prefix, free)).slice(0, 2), [{ untagged: `${prefix}:latest` }, { deleted: other.id }]);
  assert.equal(images.get(prefix).id, id);
  const missing = 'f'.repeat(64);
  assert.throws(() => images.get(missing), { kind: 'not-found', message: `No such image: sha256:${missing}` });
  assert.throws(() => images.get('a:2'), { kind: 'not-found', message: 'No such image: a:2' });
  assert.throws(() => images.get('A'), {
    kind: 'invalid',
    message: 'invalid reference format: repository name must be lowercase',
  });
});

test('tag gives one more name, or takes it from another image', async () => {
  using dir = scratch();
  const { images, id, store } = await setup(dir.folder, 'a:1');
  await images.tag('a:1', 'host:5000/b');
  assert.deepEqual(images.get(id).tags, ['a:1', 'host:5000/b:latest']);
  assert.equal((await store.get('tag/host:5000/b:latest'))?.value, id);
  await assert.rejects(images.tag('a:2', 'c'), { kind: 'not-found', message: 'No such image: a:2' });
  await assert.rejects(images.tag('a:1', `c@${id}`), {
    kind: 'invalid',
    message: 'refusing to create a tag with a digest reference',
  });
  await assert.rejects(images.tag('a:1', 'C'), { kind: 'invalid' });
});

test('prune takes what has no name, or what is not used', async () => {
  using dir = scratch();
  const { images, id, leftovers } = await setup(dir.folder, 'a:1');
  const options = { all: false, accepts: () => true, inUse: () => null };
  assert.deepEqual(await images.prune(options), { deleted: [], reclaimed: 0 });
  assert.deepEqual(await images.prune({ ...options, all: true, inUse: () => CONTAINER }), { deleted: [], reclaimed: 0 });
  assert.deepEqual(await images.prune({ ...options, all: true, accepts: () => false }), { deleted: [], reclaimed: 0 });
  const { deleted, reclaimed } = await images.prune({ ...options, all: true });
  assert.deepEqual(deleted.slice(0, 2), [{ untagged: 'a:1' }, { deleted: id }]);
  assert.equal(deleted.length, 4);
  assert.equal(reclaimed, 2);
  assert.deepEqual(await leftovers(), []);
});

test('what is going cannot be taken into use any more, and is back when the store fails', async () => {
  using dir = scratch();
  const { images, id, store } = await setup(dir.folder, 'a:1');
  const removing = images.remove('a:1', {
    ...free,
    inUse: () => {
      // Runs after the last look at who uses it.
      queueMicrotask(() => assert.throws(() => images.lower(id), { kind: 'not-found' }));
      return null;
    },
  });
  await removing;
  assert.equal((await store.list('')).entries.length, 0);
  mkdirSync(dir.path('again'));
  const again = await setup(dir.path('again'), 'a:1');
  await again.store[Symbol.asyncDispose]();
  await assert.rejects(again.images.remove('a:1', free), { kind: 'unavailable' });
  assert.deepEqual(again.images.get('a:1').tags, ['a:1']);
  assert.equal(again.images.lower(again.id).length, 2);
});
