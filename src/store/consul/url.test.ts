import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConsulUrl } from './url.ts';

test('hosts, prefix, token and certificates', () => {
  assert.deepEqual(parseConsulUrl('consul://tok%40en@10.0.0.1,[fd00::2]:18500/site/a?ca=/ca.pem&cert=/c.pem&key=/k.pem', {}), {
    endpoints: [
      { host: '10.0.0.1', port: 8500 },
      { host: 'fd00::2', port: 18500 },
    ],
    prefix: '/site/a',
    token: 'tok@en',
    tls: { ca: '/ca.pem', cert: '/c.pem', key: '/k.pem' },
  });
  assert.deepEqual(parseConsulUrl('consul://localhost', {}), {
    endpoints: [{ host: 'localhost', port: 8500 }],
    prefix: '/moorline',
  });
});

test('the token of the environment is taken when the URL has none', () => {
  assert.equal(parseConsulUrl('consul://a', { CONSUL_HTTP_TOKEN: 'env' }).token, 'env');
  assert.equal(parseConsulUrl('consul://own@a', { CONSUL_HTTP_TOKEN: 'env' }).token, 'own');
  assert.equal(parseConsulUrl('consul://a', { CONSUL_HTTP_TOKEN: '' }).token, undefined);
});

test('what is wrong is named, and the token is not', () => {
  for (const [url, message] of [
    ['consul://', /names no host/],
    ['http://a', /it is not consul:\/\/HOST:8500/],
    ['consul://@a', /the token in front of @ is empty/],
    ['consul://s%20ecret@a', /^invalid Consul URL: the token is not printable ASCII$/],
    ['consul://secret%zz@a', /^invalid Consul URL: the token is not well percent-encoded$/],
    ['consul://a/b/../c', /a segment '\.' or '\.\.'/],
    ['consul://a?token=x', /the parameter "token" is not one of ca, cert, key/],
  ] as const)
    assert.throws(() => parseConsulUrl(url, {}), { kind: 'invalid', message });
});
