import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoorError } from '../../base/errors.ts';
import { parseEtcdUrl } from './url.ts';

test('everything that a URL can say', () => {
  assert.deepEqual(
    parseEtcdUrl(
      'etcd://moor:s%3Ae%40c%2Fret@10.0.0.1:2379,[fd00::2]:12379,etcd-3.example/site/a?ca=/etc/ca.pem&cert=/c.pem&key=/k.pem',
    ),
    {
      endpoints: [
        { host: '10.0.0.1', port: 2379 },
        { host: 'fd00::2', port: 12379 },
        { host: 'etcd-3.example', port: 2379 },
      ],
      prefix: '/site/a',
      auth: { user: 'moor', password: 's:e@c/ret' },
      tls: { ca: '/etc/ca.pem', cert: '/c.pem', key: '/k.pem' },
    },
  );
});

test('what is left out has a default', () => {
  const plain = { endpoints: [{ host: 'localhost', port: 2379 }], prefix: '/moorline' };
  assert.deepEqual(parseEtcdUrl('etcd://localhost'), plain);
  assert.deepEqual(parseEtcdUrl('etcd://localhost/'), plain);
  assert.deepEqual(parseEtcdUrl('etcd://localhost:2379/coreos.com/network/'), { ...plain, prefix: '/coreos.com/network' });
  assert.deepEqual(parseEtcdUrl('etcd://a:b:c@localhost').auth, { user: 'a', password: 'b:c' });
  assert.deepEqual(parseEtcdUrl('etcd://a:@localhost').auth, { user: 'a', password: '' });
});

const BAD: readonly (readonly [url: string, expected: RegExp])[] = [
  ['', /not etcd:\/\//],
  ['http://localhost:2379', /not etcd:\/\//],
  ['etcd:localhost', /not etcd:\/\//],
  ['etcd://localhost#x', /not etcd:\/\//],
  ['etcd://', /names no host/],
  ['etcd:///prefix', /names no host/],
  ['etcd://a,', /"" is not a host/],
  ['etcd://a b', /"a b" is not a host/],
  ['etcd://1.2.3', /"1\.2\.3" is not a host/],
  ['etcd://1.2.3.256', /"1\.2\.3\.256" is not a host/],
  ['etcd://fd00::2', /"fd00::2" is not HOST:PORT \(an IPv6 address stands in brackets\)/],
  ['etcd://[fd00::g]:1', /"fd00::g" is not an IPv6 address/],
  ['etcd://a:', /"" is not a port/],
  ['etcd://a:0', /"0" is not a port/],
  ['etcd://a:65536', /"65536" is not a port/],
  ['etcd://a:1x', /"1x" is not a port/],
  ['etcd://a,b,a:2379', /a:2379 is named twice/],
  ['etcd://user@a', /credentials are user:password/],
  ['etcd://:pass@a', /credentials are user:password/],
  ['etcd://u:%zz@a', /the password is not well percent-encoded/],
  ['etcd://a/b//c', /the prefix "\/b\/\/c" is not made/],
  ['etcd://a/%00', /the prefix .* is not made/],
  ['etcd://a/b%20c', /the prefix "\/b c" is not made/],
  ['etcd://a?cert=/c', /cert and key belong together/],
  ['etcd://a?ca=', /the parameter ca names no file/],
  ['etcd://a?ca=/a&ca=/b', /the parameter ca is given twice/],
  ['etcd://a?password=x', /the parameter "password" is not one of ca, cert, key/],
];

for (const [url, expected] of BAD) {
  test(`refused: ${url}`, () => {
    assert.throws(
      () => parseEtcdUrl(url),
      (error: unknown) => {
        assert.ok(error instanceof MoorError);
        assert.equal(error.kind, 'invalid');
        assert.match(error.message, expected);
        return true;
      },
    );
  });
}

test('no error repeats the password', () => {
  for (const url of [
    'etcd://u:hunter2@',
    'etcd://u:hunter2@a:x',
    'etcd://u:hunter2@a/b//c',
    'etcd://u:hunter2@a?x=1',
    'etcd://hunter2@a',
    'etcd://u:hunter2%@a',
  ]) {
    assert.throws(
      () => parseEtcdUrl(url),
      (error: unknown) => error instanceof Error && !error.message.includes('hunter2'),
    );
  }
});
