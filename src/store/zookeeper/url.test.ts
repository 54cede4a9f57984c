import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseZookeeperUrl } from './url.ts';

test('hosts, prefix, who we are and certificates', () => {
  assert.deepEqual(parseZookeeperUrl('zk://moor:s%3Aecret@10.0.0.1,[fd00::2]:12181/site/a?ca=/ca.pem'), {
    endpoints: [
      { host: '10.0.0.1', port: 2181 },
      { host: 'fd00::2', port: 12181 },
    ],
    prefix: '/site/a',
    auth: { user: 'moor', password: 's:ecret' },
    tls: { ca: '/ca.pem' },
  });
  assert.deepEqual(parseZookeeperUrl('zookeeper://localhost'), {
    endpoints: [{ host: 'localhost', port: 2181 }],
    prefix: '/moorline',
  });
});

test('what is wrong is named, and the password is not', () => {
  for (const [url, message] of [
    ['zk://', /names no host/],
    ['etcd://a', /it is not zk:\/\/HOST:2181/],
    ['zk://user@a', /credentials are user:password$/],
    ['zk://us%3Aer:secret@a', /^invalid ZooKeeper URL: the user has a colon/],
    ['zk://a/./b', /a segment '\.' or '\.\.'/],
    ['zk://a/zookeeper/b', /that of ZooKeeper itself/],
  ] as const)
    assert.throws(() => parseZookeeperUrl(url), { kind: 'invalid', message });
});
