import assert from 'node:assert/strict';
import { test } from 'node:test';
import { familiarText, fullText, parseReference, withTag } from './reference.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

test('short names are completed, and shown short again', () => {
  const table: readonly (readonly [given: string, full: string, shown: string])[] = [
    ['busybox', 'docker.io/library/busybox:latest', 'busybox:latest'],
    ['busybox:1.36', 'docker.io/library/busybox:1.36', 'busybox:1.36'],
    ['library/busybox', 'docker.io/library/busybox:latest', 'busybox:latest'],
    ['docker.io/busybox', 'docker.io/library/busybox:latest', 'busybox:latest'],
    ['index.docker.io/library/busybox', 'docker.io/library/busybox:latest', 'busybox:latest'],
    ['some/app', 'docker.io/some/app:latest', 'some/app:latest'],
    ['library/a/b', 'docker.io/library/a/b:latest', 'library/a/b:latest'],
    ['localhost/app', 'localhost/app:latest', 'localhost/app:latest'],
    ['localhost:5000/app:x', 'localhost:5000/app:x', 'localhost:5000/app:x'],
    ['[::1]:5000/app', '[::1]:5000/app:latest', '[::1]:5000/app:latest'],
    ['Host/app', 'Host/app:latest', 'Host/app:latest'],
    ['a__b/c-d--e.f', 'docker.io/a__b/c-d--e.f:latest', 'a__b/c-d--e.f:latest'],
    [`busybox@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`, `busybox@${DIGEST}`],
    [`busybox:1@${DIGEST}`, `docker.io/library/busybox:1@${DIGEST}`, `busybox:1@${DIGEST}`],
  ];
  for (const [given, full, shown] of table) {
    const reference = withTag(parseReference(given));
    assert.equal(fullText(reference), full, given);
    assert.equal(familiarText(reference), shown, given);
  }
});

test("what is wrong is said in Docker's words", () => {
  const table: readonly (readonly [given: string, message: string])[] = [
    ['', 'invalid reference format'],
    [':', 'invalid reference format'],
    ['a:', 'invalid reference format'],
    ['a b', 'invalid reference format'],
    ['a\n', 'invalid reference format'],
    ['a//b', 'invalid reference format'],
    ['-a', 'invalid reference format'],
    ['a..b', 'invalid reference format'],
    [`a:${'x'.repeat(129)}`, 'invalid reference format'],
    ['a@sha256:12', 'invalid reference format'],
    [`a@sha256:${'0'.repeat(40)}`, 'invalid checksum digest length'],
    [`a@md5:${'0'.repeat(32)}`, 'unsupported digest algorithm'],
    ['Busybox', 'invalid reference format: repository name must be lowercase'],
    ['docker.io/Busybox:X', 'invalid reference format: repository name must be lowercase'],
    ['a'.repeat(256), 'invalid reference format: repository name must not be more than 255 characters'],
    ['c'.repeat(64), `invalid repository name (${'c'.repeat(64)}), cannot specify 64-byte hexadecimal strings`],
  ];
  for (const [given, message] of table) assert.throws(() => parseReference(given), { kind: 'invalid', message }, given);
});

test('a name made to backtrack is refused at once', () => {
  assert.throws(() => parseReference(`${'a-'.repeat(250)}!`), { kind: 'invalid' });
  assert.throws(() => parseReference('a'.repeat(1_000_000)), { kind: 'invalid' });
});
