import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkStoreUrl, shownStoreUrl } from './cluster-store.ts';

test('each store by its name, and nothing else', () => {
  for (const url of ['etcd://a/p', 'consul://secret@a:8500', 'zk://u:p@a,b:2182/p', 'zookeeper://a']) checkStoreUrl(url);
  for (const [url, message] of [
    ['', /^unknown store: it is etcd:\/\/HOST:2379\/prefix, consul:\/\/HOST:8500\/prefix or zk:\/\/HOST:2181\/prefix$/],
    ['a:2379', /^unknown store: it is etcd/],
    ['redis://user:pass@a', /^unknown store "redis:\/\/": it is etcd/],
    ['ETCD://a', /^unknown store "ETCD:\/\/": /],
    ['consul://a:x', /^invalid Consul URL: "x" is not a port$/],
    ['zk://user@a', /^invalid ZooKeeper URL: credentials are user:password$/],
    ['etcd://user@a', /^invalid etcd URL: credentials are user:password$/],
  ] as const)
    assert.throws(() => checkStoreUrl(url), { kind: 'invalid', message });
});

test('what is shown holds no secret', () => {
  assert.equal(shownStoreUrl('consul://0a1b-secret@a,b/p?ca=/f'), 'consul://a,b/p?ca=/f');
  assert.equal(shownStoreUrl('zk://user:pa%40ss@a/p'), 'zk://a/p');
  assert.equal(shownStoreUrl('etcd://a/p@q'), 'etcd://a/p@q');
});
