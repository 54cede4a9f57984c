import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { imageArchive, packFolder } from '../../../test/support/images.ts';
import { openImages, scratch, tarOf, type TestEntry, writeTar } from './images.testing.ts';
import { createHash } from 'node:crypto';

/** As GNU tar reads it from the disk: there is no getfattr on every machine. */
function attribute(path: string, name: string): string {
  const tar = execFileSync('tar', ['--xattrs', '--xattrs-include=*', '--no-recursion', '-PcT-', '-f-'], {
    input: path,
    encoding: 'latin1',
  });
  const record = tar.indexOf(` SCHILY.xattr.${name}=`);
  assert.ok(record > 0, `${path} has no ${name}`);
  const length = Number(/\d+$/.exec(tar.slice(0, record))?.[0]);
  const start = record - String(length).length;
  return tar.slice(record + ` SCHILY.xattr.${name}=`.length, start + length - 1);
}

/** Mounts an image's layers as a container's root would be, and looks. */
function mounted<T>(lower: readonly string[], folder: string, look: (root: string) => T): T {
  const root = join(folder, 'merged');
  mkdirSync(root, { recursive: true });
  const below =
    lower.length > 1 ? lower : [...lower, mkdirSync(join(folder, 'nothing'), { recursive: true }) ?? join(folder, 'nothing')];
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', `ro,lowerdir=${below.join(':')}`, root]);
  try {
    return look(root);
  } finally {
    execFileSync('umount', [root]);
  }
}

test('a layer is unpacked with owners, modes, times, links, attributes and any name', async () => {
  using dir = scratch();
  const opened = await openImages(dir.path('data'));
  const capability = Buffer.from('0000000200040000000000000000000000000000', 'hex').toString('latin1');
  const layer = writeTar(
    dir.path('layer.tar'),
    { name: './', mode: 0o750, uid: 7, gid: 8, mtime: '1500000000' },
    { name: 'd/', mode: 0o1777, uid: 1000, gid: 3_000_000_000, mtime: '1600000000' },
    { name: 'd/suid', mode: 0o6755, uid: 33, content: 'x'.repeat(100_000), mtime: '1700000000.5' },
    { name: 'd/hard', type: 'hard link', linkname: 'd/suid' },
    { name: 'link', type: 'symbolic link', linkname: '/etc/passwd', uid: 5, gid: 5 },
    { name: 'back', type: 'symbolic link', linkname: 'd/../d/suid' },
    {
      name: 'ping',
      xattrs: new Map([
        ['security.capability', capability],
        ['user.note', 'a=b\nc'],
      ]),
    },
    { name: 'new\nline \xc3\xa9\xff' },
    { name: `${'n'.repeat(200)}/${'m'.repeat(200)}`, content: 'deep' },
    { name: '-rf' },
    { name: 'pipe', type: 'fifo' },
  );
  imageArchive(dir.path('a.tar'), { layers: [layer], tags: ['a:1'] });
  assert.deepEqual(await opened.load(dir.path('a.tar')), ['a:1']);
  const [root = ''] = opened.images.lower('a:1');
  const owner = (path: string): readonly number[] => {
    const { mode, uid, gid } = lstatSync(join(root, path));
    return [mode & 0o7777, uid, gid];
  };
  assert.deepEqual(owner('.'), [0o750, 7, 8]);
  assert.deepEqual(owner('d'), [0o1777, 1000, 3_000_000_000]);
  assert.deepEqual(owner('d/suid'), [0o6755, 33, 0]);
  assert.deepEqual(owner('link').slice(1), [5, 5]);
  assert.equal(statSync(join(root, 'd')).mtimeMs, 1_600_000_000_000);
  assert.equal(statSync(join(root, 'd/suid')).mtimeMs, 1_700_000_000_500);
  assert.equal(statSync(join(root, 'd/suid')).ino, statSync(join(root, 'd/hard')).ino);
  assert.equal(readlinkSync(join(root, 'link')), '/etc/passwd');
  assert.equal(readlinkSync(join(root, 'back')), 'd/../d/suid');
  assert.equal(attribute(join(root, 'ping'), 'security.capability'), capability);
  assert.equal(attribute(join(root, 'ping'), 'user.note'), 'a=b\nc');
  assert.ok(lstatSync(join(root, 'pipe')).isFIFO());
  const names = readdirSync(root, { encoding: 'latin1' });
  assert.ok(names.includes('new\nline \xc3\xa9\xff') && names.includes('-rf'));
  assert.equal(readFileSync(join(root, 'n'.repeat(200), 'm'.repeat(200)), 'utf8'), 'deep');
  assert.equal(opened.images.get('a:1').size, 100_004);
});

test('whiteouts hide in the merged root what they name, and nothing else', async () => {
  using dir = scratch();
  const opened = await openImages(dir.path('data'));
  const layers = [
    writeTar(
      dir.path('0.tar'),
      { name: 'd/' },
      { name: 'd/a', content: 'a' },
      { name: 'd/b', content: 'b' },
      { name: 'o/old' },
      { name: 'top' },
      { name: 'r/x' },
    ),
    writeTar(
      dir.path('1.tar'),
      { name: 'd/' },
      { name: 'd/.wh.a' },
      { name: '.wh.top' },
      { name: 'o/', mode: 0o700, uid: 9 },
      { name: 'o/new' },
      { name: 'o/.wh..wh..opq' },
      { name: '.wh.r' },
      { name: 'r/y' },
    ),
  ];
  imageArchive(dir.path('a.tar'), { layers, tags: ['a:1'] });
  await opened.load(dir.path('a.tar'));
  const lower = opened.images.lower('a:1');
  assert.equal(lower.length, 2);
  const hidden = lstatSync(join(lower[0] ?? '', 'd/a'));
  assert.ok(hidden.isCharacterDevice() && hidden.rdev === 0);
  assert.equal(attribute(join(lower[0] ?? '', 'o'), 'trusted.overlay.opaque'), 'y');
  mounted(lower, dir.folder, (root) => {
    assert.deepEqual(readdirSync(root).sort(), ['d', 'o', 'r']);
    assert.deepEqual(readdirSync(join(root, 'd')), ['b']);
    assert.deepEqual(readdirSync(join(root, 'o')), ['new']);
    assert.deepEqual(readdirSync(join(root, 'r')), ['y']);
    assert.deepEqual([statSync(join(root, 'o')).mode & 0o777, statSync(join(root, 'o')).uid], [0o700, 9]);
  });
});

test('a hostile layer is refused by name, and nothing is kept of it or written elsewhere', async () => {
  using dir = scratch();
  const opened = await openImages(dir.path('data'));
  const target = dir.path('target');
  writeFileSync(target, 'untouched');
  const outside = target.slice(1);
  const table: readonly (readonly [entries: readonly TestEntry[], message: RegExp])[] = [
    [[{ name: target, content: 'evil' }], /its name is absolute$/],
    [[{ name: `../../../../../../../../../../${outside}`, content: 'evil' }], /leads outside$/],
    [
      [
        { name: 'l', type: 'symbolic link', linkname: '/' },
        { name: `l/${outside}`, content: 'evil' },
      ],
      /"l" in its path is not a directory$/,
    ],
    [[{ name: 'h', type: 'hard link', linkname: target }], /absolute/],
    [[{ name: 'null', type: 'character device' }], /devices are not allowed in an image$/],
    [[{ name: '.wh...', content: '' }], /whiteout outside/],
    [[{ name: 'ok' }, { name: 'ok', type: 'symbolic link', linkname: '../../x' }], /leads outside$/],
  ];
  for (const [entries, message] of table) {
    const layer = writeTar(dir.path('layer.tar'), { name: 'before', content: 'x'.repeat(5000) }, ...entries);
    imageArchive(dir.path('a.tar'), { layers: [layer], tags: ['evil:1'] });
    await assert.rejects(opened.load(dir.path('a.tar')), (error: Error) => {
      assert.match(error.message, message);
      assert.match(error.message, /^Cannot unpack layer sha256:[0-9a-f]{64}: entry "/);
      return true;
    });
    assert.deepEqual(await opened.leftovers(), []);
  }
  assert.equal(readFileSync(target, 'utf8'), 'untouched');
  assert.deepEqual(readdirSync(dir.folder).sort(), ['a.tar', 'data', 'layer.tar', 'target']);
});

test('bombs end at the limits', async () => {
  using dir = scratch();
  const opened = await openImages(dir.path('data'), { limits: { bytes: 1 << 20, entries: 50 } });
  const zeros = tarOf({ name: 'zeros', content: '\0'.repeat(4 << 20) });
  const manifest = (hash: string): string =>
    JSON.stringify([{ Config: 'c.json', RepoTags: ['b:1'], Layers: ['l'] }, hash].slice(0, 1));
  for (const packed of [gzipSync(zeros), zstdCompressSync(zeros)]) {
    const diffId = `sha256:${createHash('sha256').update(zeros).digest('hex')}`;
    const config = JSON.stringify({ os: 'linux', rootfs: { type: 'layers', diff_ids: [diffId] } });
    writeFileSync(dir.path('l'), packed);
    const root = dir.path('root');
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, 'l'), packed);
    writeFileSync(join(root, 'c.json'), config);
    writeFileSync(join(root, 'manifest.json'), manifest(diffId));
    packFolder(root, dir.path('b.tar'));
    await assert.rejects(opened.load(dir.path('b.tar')), {
      kind: 'invalid',
      message: `Cannot read layer ${diffId}: it has more than 1048576 bytes`,
    });
  }
  const many = Array.from({ length: 60 }, (_, index) => ({ name: `f${index}` }));
  imageArchive(dir.path('m.tar'), { layers: [writeTar(dir.path('m'), ...many)], tags: ['m:1'] });
  await assert.rejects(opened.load(dir.path('m.tar')), { kind: 'invalid', message: /more than 50 entries/ });
  assert.deepEqual(await opened.leftovers(), []);
});

test('layers are shared between images and go with the last of them', async () => {
  using dir = scratch();
  const opened = await openImages(dir.path('data'));
  const base = writeTar(dir.path('base.tar'), { name: 'base', content: 'base' });
  const top = writeTar(dir.path('top.tar'), { name: 'top', content: 'top' });
  imageArchive(dir.path('a.tar'), { layers: [base], tags: ['a:1'] });
  // The same tar as a layer twice: overlayfs refuses one directory twice, so each place in the stack has its own.
  imageArchive(dir.path('b.tar'), { layers: [base, top, base], tags: ['b:1'] });
  await opened.load(dir.path('a.tar'));
  await opened.load(dir.path('b.tar'));
  const [shared = ''] = opened.images.lower('a:1');
  assert.equal(opened.images.lower('b:1').at(-1), shared);
  assert.equal(new Set(opened.images.lower('b:1')).size, 3);
  mounted(opened.images.lower('b:1'), dir.folder, (root) => assert.deepEqual(readdirSync(root).sort(), ['base', 'top']));
  const use = { force: false, noPrune: false, inUse: () => null };
  await opened.images.remove('a:1', use);
  assert.ok(existsSync(shared));
  await opened.images.remove('b:1', use);
  assert.deepEqual(await opened.leftovers(), []);
});

test('a start takes up what is there and sweeps what a crash left', async () => {
  using dir = scratch();
  const opened = await openImages(dir.path('data'));
  imageArchive(dir.path('a.tar'), { layers: [writeTar(dir.path('l.tar'), { name: 'f', content: 'f' })], tags: ['a:1'] });
  await opened.load(dir.path('a.tar'));
  const before = opened.images.get('a:1');
  const root = dir.path('data/images');
  mkdirSync(join(root, 'tmp/half/d'), { recursive: true });
  mkdirSync(join(root, 'l/0123456789abcdef/d'), { recursive: true });
  execFileSync('cp', ['-a', opened.images.lower('a:1')[0]?.slice(0, -2) ?? '', join(root, 'l/aaaaaaaaaaaaaaaa')]);
  writeFileSync(join(root, `configs/${'0'.repeat(64)}.json`), '{}');
  const again = await openImages(dir.path('data'), { store: opened.store });
  assert.deepEqual(again.images.get('a:1'), before);
  assert.deepEqual(again.images.list(), [before]);
  assert.equal(readdirSync(join(root, 'tmp')).length, 0);
  assert.equal(readdirSync(join(root, 'l')).length, 1);
  assert.equal(readdirSync(join(root, 'configs')).length, 1);
  assert.ok(existsSync(join(again.images.lower('a:1')[0] ?? '', 'f')));
});

test('an image whose layer is lost says so, and is whole again when it is loaded again', async () => {
  using dir = scratch();
  const opened = await openImages(dir.path('data'));
  imageArchive(dir.path('a.tar'), { layers: [writeTar(dir.path('l.tar'), { name: 'f' })], tags: ['a:1'] });
  await opened.load(dir.path('a.tar'));
  execFileSync('rm', ['-rf', opened.images.lower('a:1')[0]?.slice(0, -2) ?? '']);
  const again = await openImages(dir.path('data'), { store: opened.store });
  assert.throws(() => again.images.lower('a:1'), {
    kind: 'unavailable',
    message: /^Cannot use image sha256:.*: layer sha256:.* is missing on disk$/,
  });
  await assert.rejects(again.images.save(['a:1']), { kind: 'unavailable' });
  await again.load(dir.path('a.tar'));
  assert.ok(existsSync(join(again.images.lower('a:1')[0] ?? '', 'f')));
});

test('a program that is missing is named', async () => {
  using dir = scratch();
  const opened = await openImages(dir.path('data'), { programs: { tar: 'no-such-tar' } });
  imageArchive(dir.path('a.tar'), { layers: [writeTar(dir.path('l.tar'), { name: 'f' })], tags: ['a:1'] });
  await assert.rejects(opened.load(dir.path('a.tar')), {
    kind: 'unavailable',
    message: 'Cannot run no-such-tar: it is not installed',
  });
  assert.deepEqual(await opened.leftovers(), []);
});
