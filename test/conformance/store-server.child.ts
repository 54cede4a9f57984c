/**
 * A process that holds a lease and is stopped from outside: `STORE PORT FILE`. Every few milliseconds it writes what it believes, and tries
 * to write under the lease without asking first.
 */
import { appendFileSync } from 'node:fs';
import { bootClock } from '../../src/base/boot-clock.ts';
import { silentLogger } from '../../src/base/clock.ts';
import { openConsulStore } from '../../src/store/consul/store.ts';
import { openEtcdStore } from '../../src/store/etcd/store.ts';
import { openZookeeperStore } from '../../src/store/zookeeper/store.ts';
import type { ServerSuite } from './store-server.ts';

const [name, port = '', file = ''] = process.argv.slice(2);
const open = { Consul: openConsulStore, etcd: openEtcdStore, ZooKeeper: openZookeeperStore }[name as ServerSuite['name']];
const store = await open({
  endpoints: [{ host: '127.0.0.1', port: Number(port) }],
  prefix: '/t',
  logger: silentLogger,
  clock: bootClock,
});
const lease = await store.lease(3_000);
await store.commit([{ type: 'put', key: 'owner', value: 'child', lease }]);
lease.lost.addEventListener('abort', () => appendFileSync(file, 'told\n'));
let busy = false;
setInterval(() => {
  // One line at a time, straight to the file: what a process did before it was stopped is there.
  appendFileSync(file, lease.lost.aborted ? 'lost\n' : 'held\n');
  if (busy) return;
  busy = true;
  store.commit([{ type: 'put', key: 'work', value: String(Math.random()), lease }]).then(
    () => (busy = false),
    () => appendFileSync(file, 'refused\n'),
  );
}, 3);
