import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Id } from '../base/ids.ts';
import { checkAlias, dnsNames, isDnsName, parseLink } from './dns-names.ts';

const ID = `0123456789ab${'c'.repeat(52)}` as Id;

test('names of an endpoint: container, aliases, short id, host name, each once', () => {
  const sandbox = { id: ID, name: 'web_1', hostname: 'www' };
  assert.deepEqual(dnsNames(sandbox, { aliases: ['db', 'web_1', 'Cache'] }), ['web_1', 'db', 'Cache', '0123456789ab', 'www']);
  assert.deepEqual(dnsNames({ ...sandbox, hostname: '0123456789ab' }, { aliases: [] }), ['web_1', '0123456789ab']);
  const long = 'x'.repeat(64);
  assert.deepEqual(
    dnsNames({ ...sandbox, name: long }, { aliases: [] }),
    ['0123456789ab', 'www'],
    'nobody can ask for such a label',
  );
});

test('what can be asked for', () => {
  for (const name of ['a', 'web_1', 'a.b.c', 'x'.repeat(63), `${'x.'.repeat(126)}x`, 'odd*name', '-']) {
    assert.ok(isDnsName(name), name);
    assert.equal(checkAlias(name), name);
  }
  for (const name of ['', '.', 'a..b', 'a.', '.a', 'x'.repeat(64), 'two words', 'tab\t', 'ä', `${'x.'.repeat(126)}xx`, 'nul\0']) {
    assert.ok(!isDnsName(name), name);
    assert.throws(() => checkAlias(name), { kind: 'invalid', message: /^invalid network alias "/ }, name);
  }
});

test('links', () => {
  assert.deepEqual(parseLink('db'), { name: 'db', alias: 'db' });
  assert.deepEqual(parseLink('db:mysql'), { name: 'db', alias: 'mysql' });
  assert.deepEqual(parseLink('/db:/web/mysql'), { name: 'db', alias: 'mysql' });
  assert.throws(() => parseLink(''), { message: 'empty string specified for links' });
  for (const text of ['a:b:c', ':b', 'a:']) assert.throws(() => parseLink(text), { message: `bad format for links: ${text}` });
});
