import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createReadStream, createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { busyboxArchive, imageArchive, packFolder } from '../../../test/support/images.ts';
import { NEVER, openImages, scratch, type TestImages, writeTar } from './images.testing.ts';

const quiet = { progress: () => {}, signal: NEVER };
const save = async ({ images }: TestImages, references: readonly string[], path: string): Promise<void> =>
  pipeline(await images.save(references), createWriteStream(path));
const skopeo = (...args: readonly string[]): string =>
  execFileSync('skopeo', ['--insecure-policy', ...args], { encoding: 'utf8' });
const blobs = (path: string): readonly string[] =>
  (JSON.parse(skopeo('inspect', path)) as { readonly Layers: readonly string[] }).Layers;

test("docker's archive: plain, gzip and zstd give the same image, with progress", async () => {
  using dir = scratch();
  const made = busyboxArchive(dir.path('b.tar'));
  const plain = readFileSync(dir.path('b.tar'));
  for (const archive of [plain, gzipSync(plain), zstdCompressSync(plain)]) {
    using data = scratch();
    const opened = await openImages(data.folder);
    assert.deepEqual(await opened.load(archive), ['busybox:latest']);
    const image = opened.images.get('busybox');
    assert.equal(image.id, made.id);
    assert.deepEqual(image.layers, made.diffIds);
    assert.deepEqual(image.tags, ['busybox:latest']);
    assert.deepEqual(image.config.Cmd, ['sh']);
    assert.equal(image.layerSizes?.length, 1);
    const last = opened.lines.at(-1);
    assert.deepEqual([last?.status, last?.id, last?.current], ['Loading layer', made.diffIds[0]?.slice(7, 19), last?.total]);
    const [root = ''] = opened.images.lower('busybox:latest');
    assert.equal(execFileSync('chroot', [root, '/bin/sh', '-c', 'id -un; echo ok'], { encoding: 'utf8' }), 'root\nok\n');
    opened.lines.length = 0;
    await opened.load(archive);
    assert.deepEqual(opened.lines, []); // all there already
    assert.equal(opened.images.list().length, 1);
  }
});

test('an archive without tags is loaded by id; a tag that moves leaves the old image without name', async () => {
  using dir = scratch();
  const opened = await openImages(dir.path('data'));
  const bare = imageArchive(dir.path('bare.tar'), { layers: [writeTar(dir.path('0'), { name: 'f' })] });
  assert.deepEqual(await opened.load(dir.path('bare.tar')), [bare.id]);
  const one = imageArchive(dir.path('1.tar'), { layers: [writeTar(dir.path('l1'), { name: 'one' })], tags: ['a:1', 'host:5/b'] });
  const two = imageArchive(dir.path('2.tar'), { layers: [writeTar(dir.path('l2'), { name: 'two' })], tags: ['a:1'] });
  assert.deepEqual(await opened.load(dir.path('1.tar')), ['a:1', 'host:5/b:latest']);
  await opened.load(dir.path('2.tar'));
  assert.ok(
    opened.lines.some(
      ({ status }) => status === `The image a:1 already exists, renaming the old one with ID ${one.id} to empty string`,
    ),
  );
  assert.equal(opened.images.get('a:1').id, two.id);
  assert.deepEqual(opened.images.get(one.id).tags, ['host:5/b:latest']);
});

test('what save writes, skopeo reads, and loads again as the same image', async () => {
  using dir = scratch();
  const opened = await openImages(dir.path('data'));
  const made = busyboxArchive(dir.path('b.tar'));
  const layers = ['x', 'y', 'x'].map((name, index) => writeTar(dir.path(`l${index}`), { name, content: name.repeat(3000) }));
  const other = imageArchive(dir.path('o.tar'), { layers, tags: ['some/other:2'] });
  await opened.load(dir.path('b.tar'));
  await opened.load(dir.path('o.tar'));
  await opened.images.tag('busybox', 'busybox:second');
  await save(opened, ['busybox', 'some/other:2'], dir.path('saved.tar'));
  const manifest = JSON.parse(
    execFileSync('tar', ['-xOf', dir.path('saved.tar'), 'manifest.json'], { encoding: 'utf8' }),
  ) as readonly object[];
  assert.equal(manifest.length, 2);
  const repositories = JSON.parse(
    execFileSync('tar', ['-xOf', dir.path('saved.tar'), 'repositories'], { encoding: 'utf8' }),
  ) as object;
  assert.deepEqual(Object.keys(repositories), ['busybox', 'some/other']);
  assert.deepEqual(blobs(`docker-archive:${dir.path('saved.tar')}:some/other:2`), other.diffIds);
  skopeo('copy', `docker-archive:${dir.path('saved.tar')}:busybox:latest`, `oci:${dir.path('layout')}:busybox:latest`);

  const again = await openImages(dir.path('again'));
  assert.deepEqual(await again.load(dir.path('saved.tar')), ['busybox:latest', 'busybox:second', 'some/other:2']);
  for (const image of [made, other]) assert.deepEqual(again.images.get(image.id).layers, image.diffIds);
  await save(again, ['busybox', 'some/other:2'], dir.path('saved-again.tar'));
  assert.ok(
    readFileSync(dir.path('saved.tar')).equals(readFileSync(dir.path('saved-again.tar'))),
    'the same images are the same bytes',
  );

  await save(opened, [other.id.slice(7, 20)], dir.path('by-id.tar'));
  const third = await openImages(dir.path('third'));
  assert.deepEqual(await third.load(dir.path('by-id.tar')), [other.id]);
  await assert.rejects(opened.images.save(['nothing:here']), { kind: 'not-found', message: 'No such image: nothing:here' });
});

test('OCI layouts of skopeo are loaded, and what came compressed is saved plain', async () => {
  using dir = scratch();
  const made = busyboxArchive(dir.path('b.tar'));
  skopeo('copy', `docker-archive:${dir.path('b.tar')}`, `oci-archive:${dir.path('oci.tar')}:docker.io/library/busybox:oci`);
  const opened = await openImages(dir.path('data'));
  assert.deepEqual(await opened.load(dir.path('oci.tar')), ['busybox:oci']);
  assert.deepEqual(opened.images.get('busybox:oci').layers, made.diffIds);
  await save(opened, ['busybox:oci'], dir.path('saved.tar'));
  assert.deepEqual(blobs(`docker-archive:${dir.path('saved.tar')}`), made.diffIds);

  // A blob that is not what its name says, in each role.
  const root = dir.path('root');
  mkdirSync(root);
  execFileSync('tar', ['-C', root, '-xf', dir.path('oci.tar')]);
  for (const name of execFileSync('ls', [join(root, 'blobs/sha256')], { encoding: 'utf8' })
    .trim()
    .split('\n')) {
    const path = join(root, 'blobs/sha256', name);
    const good = readFileSync(path);
    // Valid gzip or JSON, other bytes.
    writeFileSync(path, good[0] === 0x1f ? Buffer.concat([good, gzipSync('')]) : Buffer.concat([good, Buffer.from(' ')]));
    packFolder(root, dir.path('bad.tar'));
    const bad = await openImages(dir.path('bad'));
    await assert.rejects(
      bad.load(dir.path('bad.tar')),
      { kind: 'invalid', message: /wrong digest|verification failed for digest/ },
      name,
    );
    assert.deepEqual(await bad.leftovers(), []);
    writeFileSync(path, good);
  }
});

test('layers that are links, as old docker save wrote them, are followed', async () => {
  using dir = scratch();
  const root = dir.path('root');
  const made = imageArchive(dir.path('a.tar'), { layers: [writeTar(dir.path('l'), { name: 'f' })], tags: ['a:1'] });
  mkdirSync(root);
  execFileSync('tar', ['-C', root, '-xf', dir.path('a.tar')]);
  mkdirSync(join(root, 'aa'));
  execFileSync('mv', [join(root, 'layer-0.tar'), join(root, 'aa/layer.tar')]);
  mkdirSync(join(root, 'bb'));
  execFileSync('ln', ['-s', '../aa/layer.tar', join(root, 'bb/layer.tar')]);
  const manifest = [{ Config: `${made.id.slice(7)}.json`, RepoTags: ['a:1'], Layers: ['bb/layer.tar'] }];
  writeFileSync(join(root, 'manifest.json'), JSON.stringify(manifest));
  packFolder(root, dir.path('b.tar'));
  const opened = await openImages(dir.path('data'));
  assert.deepEqual(await opened.load(dir.path('b.tar')), ['a:1']);
  // Round in a circle, and out of the archive to a file that exists.
  for (const target of ['../bb/layer.tar', '/etc/passwd', '../../../../../../etc/passwd']) {
    execFileSync('ln', ['-sfn', target, join(root, 'bb/layer.tar')]);
    packFolder(root, dir.path('b.tar'));
    const bad = await openImages(dir.path('bad'));
    await assert.rejects(bad.load(dir.path('b.tar')), {
      kind: 'invalid',
      message: 'Cannot read archive: "bb/layer.tar" is missing',
    });
    assert.deepEqual(await bad.leftovers(), []);
  }
});

test('a truncated archive is refused wherever it ends, and nothing is kept', async () => {
  using dir = scratch();
  const layer = writeTar(dir.path('l'), { name: 'f', content: 'x'.repeat(3000) });
  imageArchive(dir.path('a.tar'), { layers: [layer], tags: ['a:1'] });
  const whole = readFileSync(dir.path('a.tar'));
  const packed = gzipSync(whole);
  const opened = await openImages(dir.path('data'));
  const used = whole.findLastIndex((byte) => byte !== 0);
  for (let length = 0; length < used; length += 1111) {
    await assert.rejects(
      opened.load(whole.subarray(0, length)),
      { kind: 'invalid', message: 'Cannot read archive: unexpected EOF' },
      `${length}`,
    );
  }
  for (let length = 10; length < packed.length - 1; length += 199) {
    await assert.rejects(
      opened.load(packed.subarray(0, length)),
      { kind: 'invalid', message: /^Cannot read archive: / },
      `${length}`,
    );
  }
  assert.deepEqual(await opened.leftovers(), []);
});

test('an archive that contradicts itself is refused, and nothing is kept', async () => {
  using dir = scratch();
  const layer = writeTar(dir.path('l'), { name: 'f', content: 'good' });
  const made = imageArchive(dir.path('a.tar'), { layers: [layer], tags: ['a:1'] });
  const root = dir.path('root');
  mkdirSync(root);
  execFileSync('tar', ['-C', root, '-xf', dir.path('a.tar')]);
  const config = `${made.id.slice(7)}.json`;
  const goodConfig = readFileSync(join(root, config), 'utf8');
  const manifest = (item: object): string =>
    JSON.stringify([{ Config: config, RepoTags: ['a:1'], Layers: ['layer-0.tar'], ...item }]);
  const table: readonly (readonly [file: string, content: string | Buffer, message: RegExp])[] = [
    [
      'layer-0.tar',
      readFileSync(writeTar(dir.path('l2'), { name: 'f', content: 'evil' })),
      /^invalid diffID for layer 0: expected "sha256:\w{64}", got "sha256:\w{64}"$/,
    ],
    ['layer-0.tar', 'no tar at all'.repeat(100), /^Cannot unpack layer sha256:.*invalid tar header/],
    [config, goodConfig.replace('ADD', 'BAD'), /^Cannot use image configuration sha256:.*: wrong digest/],
    ['manifest.json', '{', /^Cannot read manifest.json: /],
    ['manifest.json', '{}', /not a list of images/],
    ['manifest.json', '[{}]', /lacks Config, Layers or RepoTags/],
    ['manifest.json', manifest({ Layers: [] }), /^invalid manifest, layers length mismatch: expected 1, got 0$/],
    ['manifest.json', manifest({ Layers: ['../../etc/passwd'] }), /^Cannot read archive: "\.\.\/\.\.\/etc\/passwd" is missing$/],
    ['manifest.json', manifest({ Config: '/etc/passwd' }), /is missing$/],
    ['manifest.json', manifest({ RepoTags: ['UPPER:1'] }), /^invalid reference format: repository name must be lowercase$/],
    ['manifest.json', manifest({ RepoTags: ['a:b:c'] }), /^invalid reference format$/],
    ['manifest.json', manifest({ Config: 'c.json' }), /has no list of layer digests/],
  ];
  const opened = await openImages(dir.path('data'));
  writeFileSync(join(root, 'c.json'), '{"rootfs":{"type":"layers","diff_ids":["sha256:../../x"]}}');
  for (const [file, content, message] of table) {
    const good = readFileSync(join(root, file));
    writeFileSync(join(root, file), content);
    packFolder(root, dir.path('b.tar'));
    await assert.rejects(opened.load(dir.path('b.tar')), { kind: 'invalid', message });
    assert.deepEqual(await opened.leftovers(), [], String(message));
    writeFileSync(join(root, file), good);
  }
  writeTar(dir.path('x.tar'), { name: 'x' });
  await assert.rejects(opened.load(dir.path('x.tar')), { kind: 'invalid', message: /neither manifest.json/ });
  writeTar(dir.path('x.tar'), { name: 'x', type: 'character device' });
  await assert.rejects(opened.load(dir.path('x.tar')), {
    kind: 'invalid',
    message: 'Cannot read archive: entry "x" is a character device',
  });
});

test('a full disk is said, and nothing is kept', async () => {
  using dir = scratch();
  const data = dir.path('data');
  mkdirSync(data);
  busyboxArchive(dir.path('b.tar'));
  // First too small for the archive, then for the unpacked layer beside it.
  for (const size of ['1m', '3m']) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', data]);
    try {
      const opened = await openImages(data);
      await assert.rejects(
        opened.load(dir.path('b.tar')),
        { kind: 'exhausted', message: /^Cannot .*: no space left on device$/ },
        size,
      );
      assert.deepEqual(await opened.leftovers(), []);
    } finally {
      execFileSync('umount', [data]);
    }
  }
});

test('a load that is cancelled, while nothing comes, ends and leaves nothing', async () => {
  using dir = scratch();
  busyboxArchive(dir.path('b.tar'));
  const opened = await openImages(dir.path('data'));
  const source = new PassThrough();
  source.write(readFileSync(dir.path('b.tar')).subarray(0, 100_000));
  const stop = new AbortController();
  const loading = opened.images.load(source, { progress: () => {}, signal: stop.signal });
  setTimeout(() => stop.abort(), 50);
  await assert.rejects(loading, { kind: 'cancelled' });
  assert.deepEqual(await opened.leftovers(), []);
});

test('loads of the same image at the same time all succeed, and there is one', async () => {
  using dir = scratch();
  const made = busyboxArchive(dir.path('b.tar'));
  const opened = await openImages(dir.path('data'));
  const loads = Array.from({ length: 5 }, () => opened.images.load(createReadStream(dir.path('b.tar')), quiet));
  for (const loaded of await Promise.all(loads)) assert.deepEqual(loaded, ['busybox:latest']);
  assert.deepEqual(
    opened.images.list().map(({ id }) => id),
    [made.id],
  );
  await opened.images.remove('busybox', { force: false, noPrune: false, inUse: () => null });
  assert.deepEqual(await opened.leftovers(), []);
});

test('import makes one layer of a root file system and applies changes', async () => {
  using dir = scratch();
  const opened = await openImages(dir.path('data'));
  const root = writeTar(dir.path('root.tar'), { name: 'etc/' }, { name: 'etc/issue', content: 'hello' });
  const changes = ['CMD ["/bin/sh"]', 'ENV A=1', 'LABEL x=y'];
  const id = await opened.images.import(createReadStream(root), {
    reference: 'mine:1',
    message: 'from test',
    changes,
    signal: NEVER,
  });
  const image = opened.images.get('mine:1');
  assert.equal(image.id, id);
  assert.deepEqual(image.config, { Env: ['A=1'], Cmd: ['/bin/sh'], Labels: { x: 'y' } });
  assert.deepEqual(image.history, [{ created: '2026-11-30T12:00:00.000Z', comment: 'from test' }]);
  assert.equal(readFileSync(join(opened.images.lower(id)[0] ?? '', 'etc/issue'), 'utf8'), 'hello');
  await save(opened, ['mine:1'], dir.path('saved.tar'));
  assert.deepEqual(blobs(`docker-archive:${dir.path('saved.tar')}`), image.layers);
  const hostile = writeTar(dir.path('h.tar'), { name: 'etc/' }, { name: '../x' });
  for (const [tar, options, message] of [
    [hostile, {}, /^Cannot unpack archive: entry "\.\.\/x": its name leads outside$/],
    [root, { changes: ['RUN x'] }, /^run is not a valid change command$/],
    [root, { reference: 'Bad' }, /must be lowercase$/],
    [root, { reference: `a@${id}` }, /^cannot import digest reference$/],
  ] as const) {
    await assert.rejects(opened.images.import(createReadStream(tar), { ...options, signal: NEVER }), {
      kind: 'invalid',
      message,
    });
  }
  writeFileSync(dir.path('cut.tar'), readFileSync(root).subarray(0, 1200));
  await assert.rejects(opened.images.import(createReadStream(dir.path('cut.tar')), { signal: NEVER }), {
    kind: 'invalid',
    message: /unexpected EOF$/,
  });
  assert.equal(opened.images.list().length, 1);
  await opened.images.remove(id, { force: false, noPrune: false, inUse: () => null });
  assert.deepEqual(await opened.leftovers(), []);
});
