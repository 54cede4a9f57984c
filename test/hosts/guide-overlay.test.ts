// test-timeout: 180 s
/** docs/guides/overlay.md, executed (guide-page.ts): the walk of a packet, with what ip(8), bridge(8) and tcpdump(8) show at each step. */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import { test } from 'node:test';
import { CLIS, loadBusybox } from '../support/docker.ts';
import { NO_ETCD } from '../support/etcd.ts';
import { performPage } from './guide-page.ts';
import { createHosts, type Host, startStore } from './lab.ts';

const programs = ({ daemon }: Host): string => `${daemon.directory}/programs`;

test('docs/guides/overlay.md does what it says', { skip: NO_ETCD }, async () => {
  await using world = await createHosts(2, () => []);
  await using store = await startStore();
  assert.ok(store);
  for (const host of world.hosts) {
    mkdirSync(programs(host));
    symlinkSync(CLIS[0] ?? assert.fail('no docker CLI'), `${programs(host)}/docker`);
  }
  await performPage('overlay.md', world.hosts, {
    environment: (host) => `PATH='${programs(host)}':$PATH; export DOCKER_HOST='${host.daemon.host}';`,
    started: ({ daemon }) => loadBusybox(daemon),
  });
});
