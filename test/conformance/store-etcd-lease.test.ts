// test-timeout: 120 s
/** Who believes to hold a lease, and who sees it gone, when time passes for one and not for the other. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootClock } from '../../src/base/boot-clock.ts';
import { silentLogger, type SteadyClock } from '../../src/base/clock.ts';
import type { Store } from '../../src/contracts/store.ts';
import { openEtcdStore } from '../../src/store/etcd/store.ts';
import { startEtcd } from '../support/etcd.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { check, PORT } from './store-etcd-lab.ts';
import { eventually, put, rejects } from './store-harness.ts';

const CHILD = new URL('./store-etcd.child.ts', import.meta.url).pathname;

const open = (port: number, clock: SteadyClock = bootClock): Promise<Store> =>
  openEtcdStore({ endpoints: [{ host: '127.0.0.1', port }], prefix: '/t', logger: silentLogger, clock });

check('a lease that cannot be renewed is lost here before it is gone elsewhere', async () => {
  await using server = await startEtcd(PORT);
  await using proxy = await TcpProxy.start(PORT + 20, PORT);
  await using store = await open(PORT + 20);
  await using other = await open(PORT);
  const lease = await store.lease(3_000);
  const start = await store.commit([put('l/a', '1', { lease })]);
  let aborted = false;
  lease.lost.addEventListener('abort', () => (aborted = true));
  // Longer than its time to live: it is renewed.
  await sleep(4_000);
  assert.equal(lease.lost.aborted, false);
  assert.equal((await other.get('l/a'))?.value, '1');
  proxy.swallow();
  for await (const events of other.watch('l/', start, AbortSignal.timeout(20_000))) {
    assert.deepEqual(
      events.map(({ key, value }) => [key, value]),
      [['l/a', null]],
    );
    break;
  }
  assert.equal(aborted, true, 'the holder was told first');
  assert.match(String(lease.lost.reason), /lease [0-9a-f]+ ran out: it could not be renewed for 3000 ms/);
  proxy.restore();
  await rejects('unavailable', store.commit([put('l/a', '2', { lease })]), /cannot write l\/a: its lease is lost/);
  await store.commit([put('l/a', '2', { expect: 'absent', lease: await store.lease(2_000) })]);
  await server.ready();
});

check('an outage shorter than the time to live costs no lease, nor does a restart of the server', async () => {
  await using server = await startEtcd(PORT);
  await using proxy = await TcpProxy.start(PORT + 20, PORT);
  await using store = await open(PORT + 20);
  await using lease = await store.lease(12_000);
  await store.commit([put('l/a', '1', { lease })]);
  proxy.cut();
  // A renewal is due after 4 s.
  await sleep(5_000);
  proxy.restore();
  await sleep(2_500);
  await server.stop();
  await sleep(1_000);
  await server.start();
  await sleep(4_500);
  assert.equal(lease.lost.aborted, false);
  assert.equal((await store.get('l/a'))?.value, '1');
});

check('a lease that somebody takes away is lost at the next renewal, or the next write under it', async () => {
  await using server = await startEtcd(PORT);
  await using store = await open(PORT);
  const first = await store.lease(3_000);
  const second = await store.lease(60_000);
  await store.commit([put('l/a', '1', { lease: first }), put('l/b', '1', { lease: second })]);
  for (const { id } of [first, second]) await server.gateway('lease/revoke', { ID: BigInt(`0x${id}`).toString() });
  await eventually(async () => first.lost.aborted);
  assert.match(String(first.lost.reason), /is gone: it ran out or was taken away/);
  assert.equal(second.lost.aborted, false);
  await rejects('unavailable', store.commit([put('l/c', '1', { lease: second })]), /cannot write l\/c: its lease is lost/);
  assert.equal(second.lost.aborted, true);
  assert.deepEqual((await store.list('')).entries, []);
});

check(
  'whoever looks at a lease after time has passed unseen is told that it is lost, without a turn of the event loop',
  async () => {
    await using _server = await startEtcd(PORT);
    let skipped = 0;
    await using store = await open(PORT, { elapsed: () => bootClock.elapsed() + skipped });
    const lease = await store.lease(30_000);
    await store.commit([put('l/a', '1', { lease })]);
    assert.equal(lease.lost.aborted, false);
    // The machine slept.
    skipped = 31_000;
    assert.equal(lease.lost.aborted, true);
    await rejects('unavailable', store.commit([put('l/a', '2', { lease })]), /its lease is lost/);
  },
);

check('a process that was stopped for twice the time to live never believes to hold its lease when it goes on', async () => {
  await using _server = await startEtcd(PORT);
  await using store = await open(PORT);
  const folder = mkdtempSync(join(tmpdir(), 'moor-lease-'));
  const file = join(folder, 'said');
  const child = spawn(process.execPath, [CHILD, String(PORT), file], { stdio: ['ignore', 'inherit', 'inherit'] });
  const said = (): readonly string[] => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []);
  try {
    await eventually(async () => said().length > 100);
    assert.deepEqual([...new Set(said())], ['held']);
    child.kill('SIGSTOP');
    await eventually(async () => readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.[0] === 'T');
    const before = said().length;
    const work = (await store.get('work'))?.value;
    await sleep(6_000);
    await eventually(async () => (await store.get('owner')) === null);
    // Another has it now.
    await store.commit([put('owner', 'other', { expect: 'absent' }), put('work', 'other')]);
    child.kill('SIGCONT');
    await eventually(async () => said().includes('told') && said().includes('refused') && said().length > before + 50);
    assert.deepEqual(
      said()
        .slice(before)
        .filter((word) => word === 'held'),
      [],
    );
    assert.equal(typeof work, 'string');
    assert.equal((await store.get('work'))?.value, 'other');
    assert.equal((await store.get('owner'))?.value, 'other');
  } finally {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
});
