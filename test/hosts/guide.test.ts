// test-timeout: 180 s
/** docs/guides/many-hosts.md, executed (guide-page.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_ETCD } from '../support/etcd.ts';
import { performPage } from './guide-page.ts';
import { createHosts, startStore } from './lab.ts';

test('docs/guides/many-hosts.md does what it says', { skip: NO_ETCD }, async () => {
  await using world = await createHosts(2, () => []);
  await using store = await startStore();
  assert.ok(store);
  await performPage('many-hosts.md', world.hosts);
});
