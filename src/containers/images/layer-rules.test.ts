import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LayerRules } from './layer-rules.ts';
import type { Entry } from './tar/read.ts';
import { entryOf } from './tar/write.ts';

type Given = Partial<Entry> & { readonly name: string };

const entry = (given: Given): Entry =>
  entryOf({ ...given, type: given.type ?? (given.name.endsWith('/') ? 'directory' : 'file') });

/** What is written, in words. */
function written(...given: readonly Given[]): readonly string[] {
  const rules = new LayerRules({ entries: 100 });
  const out = given.flatMap((each) => rules.accept(entry(each)));
  return [...out, ...rules.finish()].map(({ type, name, linkname, xattrs }) =>
    [type, name, ...(linkname === '' ? [] : ['->', linkname]), ...[...xattrs].map(([key, value]) => `${key}=${value}`)].join(' '),
  );
}

test('names are made clean, and directories that are missing are made', () => {
  assert.deepEqual(written({ name: './' }, { name: './a//b/./c' }, { name: 'a/d/' }), [
    'directory .',
    'directory a',
    'directory a/b',
    'file a/b/c',
    'directory a/d',
  ]);
});

test('hostile entries are refused by name', () => {
  const table: readonly (readonly [given: readonly Given[], message: RegExp])[] = [
    [[{ name: '/etc/passwd' }], /^entry "\/etc\/passwd": its name is absolute$/],
    [[{ name: '../x' }], /^entry "\.\.\/x": its name leads outside$/],
    [[{ name: 'a/../../x' }], /leads outside/],
    [[{ name: 'a/..' }], /leads outside/],
    [[{ name: '' }], /no name/],
    [[{ name: 'a'.repeat(256) }], /too long/],
    [[{ name: 'a/'.repeat(2050) }], /too long/],
    [[{ name: 'x', type: 'character device' }], /devices are not allowed/],
    [[{ name: 'x', type: 'block device' }], /devices are not allowed/],
    [[{ name: 'l', type: 'symbolic link', linkname: '..' }], /leads outside/],
    [[{ name: 'd/l', type: 'symbolic link', linkname: '../../x' }], /leads outside/],
    [[{ name: 'd/l', type: 'symbolic link', linkname: 'a/../../../b' }], /leads outside/],
    [[{ name: 'l', type: 'symbolic link', linkname: '' }], /to nothing/],
    [[{ name: 'h', type: 'hard link', linkname: '/etc/passwd' }], /absolute/],
    [[{ name: 'h', type: 'hard link', linkname: '../x' }], /leads outside/],
    [[{ name: 'h', type: 'hard link', linkname: 'nowhere' }], /not in this layer/],
    [[{ name: 'd/' }, { name: 'h', type: 'hard link', linkname: 'd' }], /a directory/],
    [[{ name: 'h' }, { name: 'h', type: 'hard link', linkname: './h' }], /itself/],
    [
      [{ name: 'l', type: 'symbolic link', linkname: '/etc' }, { name: 'l/passwd' }],
      /^entry "l\/passwd": "l" in its path is not a directory$/,
    ],
    [[{ name: 'l', type: 'symbolic link', linkname: '/etc' }, { name: 'l/.wh.passwd' }], /not a directory/],
    [
      [
        { name: 'l', type: 'symbolic link', linkname: 'd' },
        { name: 'h', type: 'hard link', linkname: 'l/x' },
      ],
      /not in this layer/,
    ],
    [[{ name: 'l', type: 'symbolic link', linkname: '/etc' }, { name: 'l/' }], /replace a file by a directory/],
    [[{ name: 'd/' }, { name: 'd' }], /replace a directory/],
    [[{ name: './', type: 'symbolic link', linkname: '/' }], /replace a directory/],
    [[{ name: '.wh...' }], /whiteout outside/],
    [[{ name: 'd/.wh..' }], /whiteout outside/],
    [[{ name: '.wh.' }], /whiteout outside/],
    [[{ name: '../.wh.x' }], /leads outside/],
    [[{ name: 'new\nline\u001b[31m/..' }], /^entry "new\\nline\\u001b\[31m\/\.\.": /],
  ];
  for (const [given, message] of table)
    assert.throws(() => written(...given), { kind: 'invalid', message }, JSON.stringify(given));
});

test('links inside are kept as they are', () => {
  assert.deepEqual(
    written(
      { name: 'd/f' },
      { name: 'd/h', type: 'hard link', linkname: './d//f' },
      { name: 'd/up', type: 'symbolic link', linkname: '../x' },
      { name: 'abs', type: 'symbolic link', linkname: '/etc/passwd' },
      { name: 'h', type: 'hard link', linkname: 'abs' },
    ),
    [
      'directory d',
      'file d/f',
      'hard link d/h -> d/f',
      'symbolic link d/up -> ../x',
      'symbolic link abs -> /etc/passwd',
      'hard link h -> abs',
    ],
  );
});

test('a name given twice is the later one', () => {
  assert.deepEqual(written({ name: 'f' }, { name: './f' }, { name: 'd/' }, { name: 'd/' }), [
    'file f',
    'file f',
    'directory d',
    'directory d',
  ]);
});

test('whiteouts become devices 0/0, opaque marks an attribute, at the end', () => {
  assert.deepEqual(
    written({ name: 'd/' }, { name: 'd/.wh.gone' }, { name: 'o/.wh..wh..opq' }, { name: '.wh.top' }, { name: 'o/new' }),
    [
      'directory d',
      'directory o',
      'file o/new',
      'character device d/gone',
      'character device top',
      'directory o trusted.overlay.opaque=y',
    ],
  );
});

test('a whiteout does not hide what its own layer brings', () => {
  assert.deepEqual(written({ name: '.wh.f' }, { name: 'f' }, { name: 'd/' }, { name: '.wh.d' }), [
    'file f',
    'directory d',
    'directory d trusted.overlay.opaque=y',
  ]);
});

test("AUFS's own files are left out", () => {
  assert.deepEqual(written({ name: '.wh..wh.plnk/' }, { name: '.wh..wh.plnk/1.2' }, { name: '.wh..wh.aufs' }), []);
});

test('only attributes that are a file own reach the disk', () => {
  const xattrs = new Map([
    ['user.mime', 'x'],
    ['security.capability', 'c'],
    ['trusted.overlay.redirect', '/'],
    ['user.overlay.opaque', 'y'],
    ['security.selinux', 's'],
    ['system.posix_acl_access', 'a'],
  ]);
  assert.deepEqual(written({ name: 'f', xattrs }), ['file f user.mime=x security.capability=c']);
});

test('the size is what files hold, and entries are counted', () => {
  const rules = new LayerRules({ entries: 3 });
  for (const size of [5, 7]) rules.accept(entry({ name: `f${size}`, size }));
  assert.equal(rules.bytes, 12);
  rules.accept(entry({ name: 'd/' }));
  assert.throws(() => rules.accept(entry({ name: 'e/' })), { kind: 'invalid', message: 'more than 3 entries' });
});
