import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeHeader, encodeHeader } from './header.ts';
import { decodePax, encodePax } from './pax.ts';
import { type Entry, readTar } from './read.ts';
import { END, entryOf, fileOf, headerOf, pad } from './write.ts';

interface Listed {
  readonly entry: Entry;
  readonly content: string;
}

/** @param step bytes a chunk */
async function list(data: Buffer, { step = 1000, needsEnd = true } = {}): Promise<readonly Listed[]> {
  const chunks = async function* (): AsyncGenerator<Buffer, void> {
    for (let at = 0; at < data.length; at += step) yield data.subarray(at, at + step);
  };
  const found: Listed[] = [];
  for await (const { entry, body } of readTar(chunks(), { what: 'archive', needsEnd })) {
    const parts: Buffer[] = [];
    for await (const part of body) parts.push(part);
    found.push({ entry, content: Buffer.concat(parts).toString('latin1') });
  }
  return found;
}

test('archives of GNU tar in each of its formats are read', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'moor-tar-'));
  try {
    const root = join(folder, 'root');
    mkdirSync(join(root, 'd'), { recursive: true });
    writeFileSync(join(root, 'd/file'), 'x'.repeat(1500), { mode: 0o640 });
    utimesSync(join(root, 'd/file'), 1_700_000_000, 1_700_000_000);
    symlinkSync('../elsewhere', join(root, 'd/link'));
    linkSync(join(root, 'd/file'), join(root, 'd/hard'));
    const long = 'n'.repeat(120);
    writeFileSync(join(root, 'new\nline'), '');
    execFileSync('mkfifo', [join(root, 'pipe')]);
    for (const format of ['v7', 'ustar', 'gnu', 'oldgnu', 'posix']) {
      // A name of more than 100 bytes without a slash fits neither v7 nor ustar.
      const canLong = format === 'gnu' || format === 'oldgnu' || format === 'posix';
      rmSync(join(root, long), { force: true });
      rmSync(join(root, 'long'), { force: true });
      if (canLong) {
        writeFileSync(join(root, long), 'long');
        symlinkSync(long, join(root, 'long'));
      }
      const tar = join(folder, `${format}.tar`);
      const special = format === 'v7' ? ['--exclude=./pipe'] : [];
      execFileSync('tar', ['--sort=name', `--format=${format}`, '-b20', ...special, '-C', root, '-cf', tar, '.']);
      const found = new Map((await list(readFileSync(tar), { step: 700 })).map((item) => [item.entry.name, item]));
      assert.equal(found.get('./')?.entry.type, 'directory', format);
      const file = found.get('./d/file');
      assert.equal(file?.entry.type, 'file', format);
      assert.equal(file.content, 'x'.repeat(1500), format);
      assert.equal(file.entry.mode, 0o640, format);
      assert.equal(Number(file.entry.mtime), 1_700_000_000, format);
      // Sorted by name: d/file comes before d/hard.
      assert.deepEqual(
        [found.get('./d/hard')?.entry.type, found.get('./d/hard')?.entry.linkname],
        ['hard link', './d/file'],
        format,
      );
      assert.deepEqual(
        [found.get('./d/link')?.entry.type, found.get('./d/link')?.entry.linkname],
        ['symbolic link', '../elsewhere'],
      );
      assert.ok(found.has('./new\nline'), format);
      if (format !== 'v7') assert.equal(found.get('./pipe')?.entry.type, 'fifo', format);
      if (canLong) {
        assert.equal(found.get(`./${long}`)?.content, 'long', format);
        assert.equal(found.get('./long')?.entry.linkname, long, format);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('sparse files are refused in both of their forms', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'moor-tar-'));
  try {
    writeFileSync(join(folder, 'hole'), 'x');
    truncateSync(join(folder, 'hole'), 1 << 20);
    for (const format of ['gnu', 'posix']) {
      const tar = join(folder, `${format}.tar`);
      execFileSync('tar', [`--format=${format}`, '--sparse', '-C', folder, '-cf', tar, 'hole']);
      await assert.rejects(list(readFileSync(tar)), { kind: 'invalid', message: /sparse files are not supported/ }, format);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

const bytes = (max: number): fc.Arbitrary<string> =>
  fc.uint8Array({ minLength: 1, maxLength: max }).map((data) => Buffer.from(data.map((byte) => byte || 1)).toString('latin1'));

const entries: fc.Arbitrary<Entry> = fc
  .record({
    name: bytes(300),
    linkname: fc.oneof(fc.constant(''), bytes(300)),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.oneof(fc.nat(), fc.constant(2 ** 32 - 2)),
    gid: fc.oneof(fc.nat(), fc.constant(2 ** 32 - 2)),
    mtime: fc.oneof(fc.nat().map(String), fc.constant('-5'), fc.constant('1700000000.123456789'), fc.constant('99999999999')),
    xattrs: fc.dictionary(fc.stringMatching(/^user\.[a-z]{1,20}$/), bytes(200)).map((map) => new Map(Object.entries(map))),
  })
  .map((given) => entryOf({ ...given, type: given.linkname === '' ? 'file' : 'symbolic link' }))
  .filter(({ type, name }) => type !== 'file' || !name.endsWith('/'));

test('what is written is read back the same, however it is cut into chunks', async () => {
  await fc.assert(
    fc.asyncProperty(entries, bytes(2000), fc.integer({ min: 1, max: 3000 }), async (given, content, step) => {
      const entry = given.type === 'file' ? { ...given, size: content.length } : given;
      const body = given.type === 'file' ? [Buffer.from(content, 'latin1'), pad(content.length)] : [];
      const tar = Buffer.concat([headerOf(entry), ...body, fileOf('after', Buffer.from('z')), END]);
      const found = await list(tar, { step });
      assert.equal(found.length, 2);
      assert.deepEqual(found[0]?.entry, entry);
      assert.equal(found[0]?.content, given.type === 'file' ? content : '');
      assert.equal(found[1]?.content, 'z');
    }),
    { numRuns: 200 },
  );
});

test('pax records count their own length', () => {
  for (const length of [1, 3, 4, 5, 85, 90, 91, 92, 93, 94, 95, 96, 990, 991, 992, 993, 994, 995, 996, 997]) {
    const records = new Map([['k', 'v'.repeat(length)]]);
    const data = encodePax(records);
    assert.equal(Number.parseInt(data.toString('latin1'), 10), data.length);
    assert.deepEqual(decodePax(data), records);
  }
});

test('malformed pax records are refused', () => {
  for (const text of ['', '6 a=b\n'].slice(1)) assert.equal(decodePax(Buffer.from(text)).get('a'), 'b');
  for (const text of [
    'x',
    '5 a=b\n',
    '7 a=b\n',
    '6 a=bx',
    '4 a\n',
    '6 =ab\n',
    '0 a=b\n',
    '-6 a=b\n',
    '99999999999999 a=b\n',
    '06 a=b\n',
  ]) {
    assert.throws(() => decodePax(Buffer.from(text)), { kind: 'invalid' }, JSON.stringify(text));
  }
});

test('an archive that ends too early says so', async () => {
  const whole = Buffer.concat([fileOf('a', Buffer.from('a'.repeat(1000))), END]);
  for (const length of [1, 511, 513, 900, 1500, 1535, 1537, 0]) {
    await assert.rejects(
      list(whole.subarray(0, length)),
      { kind: 'invalid', message: 'Cannot read archive: unexpected EOF' },
      `${length}`,
    );
  }
  // Between entries only the marker is missing, which a layer with the right digest may lack.
  assert.equal((await list(whole.subarray(0, 1536), { needsEnd: false })).length, 1);
  await assert.rejects(list(whole.subarray(0, 1536)), { kind: 'invalid' });
});

test('headers that are wrong are refused', async () => {
  const good = headerOf(entryOf({ name: 'a', type: 'file' }));
  const broken = Buffer.from(good);
  broken[0] = 'b'.charCodeAt(0);
  await assert.rejects(list(Buffer.concat([broken, END])), { kind: 'invalid', message: /checksum/ });
  await assert.rejects(list(Buffer.from('this is no archive, '.repeat(100))), { kind: 'invalid' });
  const plain = { name: 'a', mode: 0, uid: 0, gid: 0, size: 0, mtime: 0, linkname: '' };
  for (const typeflag of ['V', 'M', 'D', 'Z', 'S']) {
    await assert.rejects(list(Buffer.concat([encodeHeader({ ...plain, typeflag }), END])), { kind: 'invalid' }, typeflag);
  }
  const huge = encodeHeader({ ...plain, typeflag: 'x', size: 2 << 20 });
  await assert.rejects(list(huge), { kind: 'invalid', message: /extended header/ });
});

test('numbers in base 256 are read, negative ones too', () => {
  const block = headerOf(entryOf({ name: 'a', type: 'file' }));
  const sum = (): void => {
    block.fill(' ', 148, 156);
    const total = block.reduce((all, byte) => all + byte, 0);
    block.write(`${total.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  };
  block.fill(0, 124, 136);
  block[124] = 0x80;
  block.writeBigUInt64BE(8n * 2n ** 33n, 128);
  block.fill(0xff, 136, 148);
  sum();
  const { size, mtime } = decodeHeader(block);
  assert.deepEqual([size, mtime], [8 * 2 ** 33, -1]);
  block.fill(0x7f, 125, 136);
  sum();
  assert.throws(() => decodeHeader(block), { kind: 'invalid', message: /size/ });
});
