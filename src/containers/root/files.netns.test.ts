/** Roots on the real overlayfs, with hostile trees and archives. GNU tar is the other reader and writer. */
import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { newId } from '../../base/ids.ts';
import type { RootFiles } from '../../contracts/containers.ts';
import type { Entry } from '../images/tar/read.ts';
import { END, entryOf, fileOf, headerOf } from '../images/tar/write.ts';
import { createRootFiles } from './files.ts';

const never = new AbortController().signal;

interface Place extends AsyncDisposable {
  readonly directory: string;
  /** Layers top first: path -> content, null for a directory, `->x` for a link. */
  readonly layers: (...trees: readonly Readonly<Record<string, string | null>>[]) => readonly string[];
  readonly files: RootFiles;
  readonly root: (lower: readonly string[]) => Promise<{ readonly id: ReturnType<typeof newId>; readonly root: string }>;
}

function place(name = 'moor-root-'): Place {
  const directory = mkdtempSync(join(tmpdir(), name));
  const files = createRootFiles({ dataRoot: join(directory, 'data') });
  const made: ReturnType<typeof newId>[] = [];
  return {
    directory,
    files,
    layers: (...trees) =>
      trees.map((tree, index) => {
        const layer = join(directory, `layer${index}`);
        mkdirSync(layer);
        grow(layer, tree);
        return layer;
      }),
    async root(lower) {
      const id = newId();
      made.push(id);
      await files.create(id, lower);
      return { id, root: await files.mount(id, lower) };
    },
    async [Symbol.asyncDispose]() {
      for (const id of made) await files.remove(id);
      rmSync(directory, { recursive: true });
    },
  };
}

function grow(directory: string, tree: Readonly<Record<string, string | null>>): void {
  for (const [path, content] of Object.entries(tree)) {
    const full = join(directory, path);
    mkdirSync(join(full, '..'), { recursive: true });
    if (content === null) mkdirSync(full, { recursive: true });
    else if (content.startsWith('->')) symlinkSync(content.slice(2), full);
    else writeFileSync(full, content);
  }
}

const tarOf = (...parts: readonly Buffer[]): Readable => Readable.from([Buffer.concat([...parts, END])], { objectMode: false });
const entry = (given: Pick<Entry, 'name' | 'type'> & Partial<Entry>): Buffer => headerOf(entryOf(given));

async function listing(tar: Readable): Promise<readonly string[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return execFileSync('tar', ['-tPf', '-'], { input: Buffer.concat(chunks), encoding: 'utf8' })
    .split('\n')
    .filter(Boolean);
}

describe('a root', () => {
  test('shows all layers, keeps what is written, and goes without a trace', async () => {
    await using at = place();
    const lower = at.layers({ 'etc/a': 'top' }, { 'etc/a': 'bottom', 'etc/b': 'bottom' });
    const { id, root } = await at.root(lower);
    assert.equal(readFileSync(join(root, 'etc/a'), 'utf8'), 'top');
    assert.equal(readFileSync(join(root, 'etc/b'), 'utf8'), 'bottom');
    writeFileSync(join(root, 'etc/a'), 'mine!');
    assert.equal(await at.files.mount(id, lower), root);
    await at.files.unmount(id);
    await at.files.unmount(id);
    assert.deepEqual(readdirSync(root), []);
    await at.files.mount(id, lower);
    assert.equal(readFileSync(join(root, 'etc/a'), 'utf8'), 'mine!');
    assert.equal(await at.files.size(id), 5);
    await at.files.remove(id);
    await at.files.remove(id);
    assert.ok(!existsSync(join(root, '..')));
    assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(id));
    assert.equal(readFileSync(join(lower[0] ?? '', 'etc/a'), 'utf8'), 'top');
  });

  test('takes 128 layers in a directory with a long name and colons', async () => {
    await using at = place(`moor-root-${'x:'.repeat(90)}`);
    const trees = Array.from({ length: 128 }, (_, index) => ({ [`file${index}`]: '' }));
    const { root } = await at.root(at.layers(...trees));
    assert.equal(readdirSync(root).length, 128);
  });

  test('of an image without layers is empty', async () => {
    await using at = place();
    const { root } = await at.root([]);
    writeFileSync(join(root, 'a'), '');
    assert.deepEqual(readdirSync(root), ['a']);
  });

  test('tells what was changed in it', async () => {
    await using at = place();
    const lower = at.layers({ 'etc/a': '1', 'etc/b': '1', 'usr/x/y': '', 'usr/x/z': '', 'var/untouched': '' }, { 'deep/a': '' });
    const { id, root } = await at.root(lower);
    assert.deepEqual(await at.files.changes(id, lower), []);
    writeFileSync(join(root, 'etc/a'), '2');
    rmSync(join(root, 'etc/b'));
    writeFileSync(join(root, 'new'), '');
    rmSync(join(root, 'usr/x'), { recursive: true });
    mkdirSync(join(root, 'usr/x'));
    writeFileSync(join(root, 'usr/x/z'), 'again');
    rmSync(join(root, 'deep'), { recursive: true });
    assert.deepEqual(await at.files.changes(id, lower), [
      { Path: '/deep', Kind: 2 },
      { Path: '/etc', Kind: 0 },
      { Path: '/etc/a', Kind: 0 },
      { Path: '/etc/b', Kind: 2 },
      { Path: '/new', Kind: 1 },
      { Path: '/usr', Kind: 0 },
      { Path: '/usr/x', Kind: 0 },
      { Path: '/usr/x/y', Kind: 2 },
      { Path: '/usr/x/z', Kind: 0 },
    ]);
  });
});

describe('reading', () => {
  test('names entries as docker cp expects them', async () => {
    await using at = place();
    const { root } = await at.root(at.layers({ 'srv/dir/a': 'x', 'srv/dir/sub/b': 'y', 'srv/link': '->dir' }));
    linkSync(join(root, 'srv/dir/a'), join(root, 'srv/dir/c'));
    const names = async (path: string): Promise<readonly string[]> => listing((await at.files.read(root, path)).tar);
    assert.deepEqual(await names('/srv/dir'), ['dir/', 'dir/a', 'dir/c', 'dir/sub/', 'dir/sub/b']);
    assert.deepEqual(await names('/srv/dir/.'), ['./', './a', './c', './sub/', './sub/b']);
    assert.deepEqual((await names('/')).slice(0, 3), ['/', '/srv/', '/srv/dir/']);
    assert.deepEqual((await listing(await at.files.export(root))).slice(0, 2), ['srv/', 'srv/dir/']);
    assert.deepEqual(await names('srv/dir/sub/b'), ['b']);
    assert.deepEqual(await names('/srv/link'), ['link']);
    assert.deepEqual(await names('/srv/link/'), ['link/', 'link/a', 'link/c', 'link/sub/', 'link/sub/b']);
    await assert.rejects(at.files.read(root, '/srv/none'), { kind: 'not-found', message: /Could not find the file \/srv\/none/ });
  });

  test('tells what a path is, with Go mode bits and where a link leads', async () => {
    await using at = place();
    const { root } = await at.root(
      at.layers({ 'srv/file': 'four', 'srv/link': '->/srv/other', 'srv/other': '->../srv/file', 'srv/lost': '->nowhere' }),
    );
    const { mtime: _, ...file } = await at.files.stat(root, '/srv/file');
    assert.deepEqual(file, { name: 'file', size: 4, mode: 0o644, linkTarget: '' });
    assert.equal((await at.files.stat(root, '/srv')).mode, 0o755 + 2 ** 31);
    assert.equal((await at.files.stat(root, '/srv/link')).linkTarget, '/srv/file');
    assert.equal((await at.files.stat(root, '/srv/lost')).linkTarget, '/srv/nowhere');
    assert.equal((await at.files.stat(root, '/')).name, '/');
    assert.equal((await at.files.stat(root, '/srv/lost')).mode, 0o777 + 2 ** 27);
  });

  test('never leaves the root', async () => {
    await using at = place();
    const outside = join(at.directory, 'secret');
    writeFileSync(outside, 'host');
    const { root } = await at.root(
      at.layers({
        'etc/passwd': 'container',
        abs: `->${at.directory}`,
        up: '->../../../../../../../../../../..',
        proc: '->/proc/self/root',
      }),
    );
    for (const path of ['/abs/secret', `/up${outside}`, `/../../../../../../../..${outside}`, `/proc${outside}`]) {
      await assert.rejects(at.files.read(root, path), { kind: 'not-found' }, path);
    }
    assert.deepEqual(await listing((await at.files.read(root, '/up/etc')).tar), ['etc/', 'etc/passwd']);
  });

  test('that is given up leaves no file open', async () => {
    await using at = place();
    const { root } = await at.root(at.layers({ big: 'x'.repeat(2_000_000) }));
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    const { tar } = await at.files.read(root, '/big');
    tar.destroy();
    const begun = (await at.files.read(root, '/big')).tar;
    await begun.iterator({ destroyOnReturn: true }).next();
    begun.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50)); // for the generators to end
    assert.equal(open(), before);
  });
});

describe('writing', () => {
  const options = (tar: Readable, noOverwriteDirNonDir = false): Parameters<RootFiles['write']>[2] => ({
    tar,
    noOverwriteDirNonDir,
    signal: never,
  });

  test('takes what GNU tar made, with owners, rights, times and links', async () => {
    await using at = place();
    const source = join(at.directory, 'source');
    grow(source, { 'a/file': 'content', 'a/link': '->file', 'a/deep/empty': null });
    execFileSync(
      'sh',
      [
        '-c',
        'chown 12:34 a/file && chmod 4755 a/file && ln a/file a/hard && touch -d @1000000000 a/file a/deep && touch -hd @1000000001 a/link',
      ],
      { cwd: source },
    );
    const tar = execFileSync('tar', ['-cf', '-', 'a'], { cwd: source });
    const { root } = await at.root(at.layers({ 'srv/a/old': 'stays' }));
    await at.files.write(root, '/srv', options(Readable.from([tar], { objectMode: false })));
    const { uid, gid, mode, mtimeMs, nlink } = statSync(join(root, 'srv/a/file'));
    assert.deepEqual(
      { uid, gid, mode: mode & 0o7777, mtimeMs, nlink },
      { uid: 12, gid: 34, mode: 0o4755, mtimeMs: 1e12, nlink: 2 },
    );
    assert.equal(readlinkSync(join(root, 'srv/a/link')), 'file');
    assert.equal(lstatSync(join(root, 'srv/a/link')).mtimeMs, 1_000_000_001_000);
    assert.equal(statSync(join(root, 'srv/a/deep')).mtimeMs, 1e12);
    assert.equal(readFileSync(join(root, 'srv/a/old'), 'utf8'), 'stays');
  });

  test('never leaves the root, whatever is in the archive and in the root', async () => {
    await using at = place();
    const outside = join(at.directory, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'victim'), 'host');
    // The root has directories of the same names, where the links lead when they are resolved inside it.
    const { root } = await at.root(
      at.layers({ abs: `->${outside}`, up: '->../../../../../../../../../..', tmp: null, [outside.slice(1)]: null }),
    );
    const write = (path: string, ...parts: readonly Buffer[]): Promise<void> =>
      at.files.write(root, path, options(tarOf(...parts)));
    // A link of the archive, one in the place of a directory, an absolute name, a link in the place of the file itself.
    const link = (name: string, linkname: string): Buffer => entry({ name, type: 'symbolic link', linkname });
    await write('/tmp', link('l', outside), fileOf('l/one', Buffer.from('1')), fileOf('l/victim', Buffer.from('gone')));
    await write(
      '/tmp',
      entry({ name: 'd', type: 'directory' }),
      link('d', `../../../../../../../..${outside}`),
      fileOf('d/two', Buffer.from('2')),
    );
    await write('/tmp', fileOf(`${outside}/three`, Buffer.from('3')));
    await write('/tmp', link('v', join(outside, 'victim')), fileOf('v', Buffer.from('replaced, not followed')));
    // Links of the root: in the place that is asked for, and in an entry's name.
    await write('/abs', fileOf('four', Buffer.from('4')));
    await write('/', fileOf(`up${outside}/five`, Buffer.from('5')), fileOf('abs/six', Buffer.from('6')));
    for (const name of ['../victim', 'a/../../victim', '..']) {
      await assert.rejects(write('/tmp', fileOf(name, Buffer.from('gone'))), { kind: 'invalid' }, name);
    }
    await assert.rejects(write('/tmp', link('lost', '/nowhere'), fileOf('lost/x', Buffer.from(''))), { kind: 'invalid' });
    for (const linkname of [join(outside, 'victim'), 'l/none', '../../etc']) {
      await assert.rejects(write('/tmp', entry({ name: 'h', type: 'hard link', linkname })), { kind: 'invalid' }, linkname);
    }
    assert.deepEqual(readdirSync(outside), ['victim']);
    assert.equal(readFileSync(join(outside, 'victim'), 'utf8'), 'host');
    assert.equal(statSync(join(outside, 'victim')).nlink, 1);
    assert.equal(readFileSync(join(root, 'tmp/v'), 'utf8'), 'replaced, not followed');
    assert.deepEqual(readdirSync(join(root, outside)).sort(), ['five', 'four', 'one', 'six', 'two', 'victim']);
    assert.deepEqual(readdirSync(join(root, 'tmp', outside)), ['three']);
  });

  test('removes trees without following links in them', async () => {
    await using at = place();
    const outside = join(at.directory, 'outside');
    grow(outside, { victim: 'host' });
    const { root } = await at.root(at.layers({ 'tmp/tree/sub/x': '', 'tmp/tree/link': `->${outside}` }));
    await at.files.write(root, '/tmp', options(tarOf(fileOf('tree', Buffer.from('now a file')))));
    assert.equal(readFileSync(join(root, 'tmp/tree'), 'utf8'), 'now a file');
    assert.deepEqual(readdirSync(outside), ['victim']);
  });

  test('refuses devices, a directory over a file when asked to, and places that are none', async () => {
    await using at = place();
    const { root } = await at.root(at.layers({ 'tmp/file': '', 'tmp/dir': null }));
    const write = (path: string, tar: Readable, strict = false): Promise<void> =>
      at.files.write(root, path, options(tar, strict));
    await assert.rejects(write('/tmp', tarOf(entry({ name: 'sda', type: 'block device' }))), { kind: 'invalid' });
    await assert.rejects(write('/tmp', tarOf(entry({ name: 'file', type: 'directory' })), true), {
      kind: 'invalid',
      message: /cannot overwrite non-directory/,
    });
    await assert.rejects(write('/tmp', tarOf(fileOf('dir', Buffer.from(''))), true), {
      kind: 'invalid',
      message: /cannot overwrite directory/,
    });
    await assert.rejects(write('/none', tarOf()), { kind: 'not-found' });
    await assert.rejects(write('/tmp/file', tarOf()), { kind: 'invalid', message: 'extraction point is not a directory' });
    await assert.rejects(write('/tmp', Readable.from([Buffer.alloc(700, 1)], { objectMode: false })), { kind: 'invalid' });
    assert.deepEqual(readdirSync(join(root, 'tmp')).sort(), ['dir', 'file']);
  });
});
