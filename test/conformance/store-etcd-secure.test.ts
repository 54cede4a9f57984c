// test-timeout: 120 s
/** Who may talk to whom: certificates, users and their tokens; and what others have written below our prefix. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootClock } from '../../src/base/boot-clock.ts';
import { type Logger, silentLogger } from '../../src/base/clock.ts';
import type { Store } from '../../src/contracts/store.ts';
import { type EtcdStoreOptions, openEtcdStore } from '../../src/store/etcd/store.ts';
import { parseEtcdUrl } from '../../src/store/etcd/url.ts';
import { createAuthority } from '../support/certificates.ts';
import { base64, type EtcdServer, startEtcd } from '../support/etcd.ts';
import { check, PORT } from './store-etcd-lab.ts';
import { put, rejects, take } from './store-harness.ts';

const open = (more: Partial<EtcdStoreOptions> = {}): Promise<Store> =>
  openEtcdStore({
    endpoints: [{ host: '127.0.0.1', port: PORT }],
    prefix: '/t',
    logger: silentLogger,
    clock: bootClock,
    timeoutMs: 3_000,
    ...more,
  });

check('TLS: our authority is trusted, others are not, and the server wants our certificate', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'moor-tls-'));
  try {
    const ours = createAuthority(folder, 'ours');
    const theirs = createAuthority(folder, 'theirs');
    const { ca } = ours;
    const client = ours.sign('client', 'DNS:client');
    const serverTls = { ca, ...ours.sign('server', 'IP:127.0.0.1,DNS:localhost') };
    {
      await using _server = await startEtcd(PORT, { tls: serverTls });
      await using store = await open({ tls: { ca } });
      const revision = await store.commit([put('n/a', '1')]);
      await using byName = await open({ tls: { ca }, endpoints: [{ host: 'localhost', port: PORT }] });
      assert.equal((await byName.get('n/a'))?.revision, revision);
      await using url = await openEtcdStore({
        ...parseEtcdUrl(`etcd://127.0.0.1:${PORT}/t?ca=${ca}`),
        logger: silentLogger,
        clock: bootClock,
      });
      assert.equal((await url.get('n/a'))?.revision, revision);
      await using wrong = await open({ tls: { ca: theirs.ca }, timeoutMs: 500 });
      await rejects('unavailable', wrong.get('n/a'), /127\.0\.0\.1:23790: .*(certificate|signature)/);
      await using nobody = await open({ tls: {}, timeoutMs: 500 });
      await rejects('unavailable', nobody.get('n/a'), /certificate/);
      await using plain = await open({ timeoutMs: 500 });
      await rejects('unavailable', plain.get('n/a'), /127\.0\.0\.1:23790/);
    }
    {
      const elsewhere = ours.sign('other', 'IP:127.0.0.2,DNS:elsewhere');
      await using _server = await startEtcd(PORT, { tls: { ...serverTls, ...elsewhere } });
      await using store = await open({ tls: { ca }, timeoutMs: 500 });
      await rejects('unavailable', store.get('n/a'), /altnames/);
    }
    {
      await using _server = await startEtcd(PORT, { tls: { ...serverTls, client } });
      await using store = await open({ tls: { ca, ...client } });
      await store.commit([put('n/a', '1')]);
      await using without = await open({ tls: { ca }, timeoutMs: 500 });
      await rejects('unavailable', without.get('n/a'), /127\.0\.0\.1:23790/);
      await using wrong = await open({ tls: { ca, ...theirs.sign('client', 'DNS:client') }, timeoutMs: 500 });
      await rejects('unavailable', wrong.get('n/a'), /127\.0\.0\.1:23790/);
    }
    await rejects('invalid', open({ tls: { ca: join(folder, 'none.pem') } }), /cannot read ca: ENOENT.*none\.pem/);
    await rejects('invalid', open({ tls: { ca, cert: client.cert } }), /a certificate and its key belong together/);
    await rejects('invalid', open({ tls: { ca, cert: client.cert, key: serverTls.key } }), /ours-client\.pem.*mismatch/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** `moor` may use `/t/`, `guest` only what is below `/other/`. */
async function withUsers(server: EtcdServer): Promise<void> {
  const range = (prefix: string): object => ({
    permType: 'READWRITE',
    key: base64(`${prefix}/`),
    range_end: base64(`${prefix}0`),
  });
  for (const [name, password, role] of [
    ['root', 'secret', 'root'],
    ['moor', 'pass:word', 'moor'],
    ['guest', 'guest', 'guest'],
  ] as const) {
    await server.gateway('auth/role/add', { name: role });
    await server.gateway('auth/user/add', { name, password });
    await server.gateway('auth/user/grant', { user: name, role });
  }
  await server.gateway('auth/role/grant', { name: 'moor', perm: range('/t') });
  await server.gateway('auth/role/grant', { name: 'guest', perm: range('/other') });
}

const MOOR = { user: 'moor', password: 'pass:word' };

check('users: the right one works, the wrong ones are forbidden, and a token that ran out is fetched again', async () => {
  await using server = await startEtcd(PORT, { flags: ['--auth-token-ttl', '2'] });
  const warnings: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (_, message) => void warnings.push(message) };
  await using early = await open({ auth: MOOR, logger });
  const start = await early.commit([put('start', '')]);
  assert.match(warnings.join(), /authentication is off/);
  await using anonymous = await open();
  await anonymous.get('start');
  await withUsers(server);
  await server.gateway('auth/enable', {});

  // It had no token and now needs one.
  await early.commit([put('n/a', '1')]);
  await using store = await open({ auth: MOOR });
  const taking = take(store, start, { prefix: 'n/', count: 4 });
  // What fails first is to be told first.
  taking.catch(() => {});
  const lease = await store.lease(12_000);
  await store.commit([put('n/b', '1', { lease })]);
  await rejects('forbidden', anonymous.get('n/a'), /user name is empty/);
  await rejects('forbidden', anonymous.commit([put('n/a', '2')]), /user name is empty/);
  await assert.rejects(take(anonymous, start, { prefix: 'n/', count: 1 }), { kind: 'forbidden' });
  await using guest = await open({ auth: { user: 'guest', password: 'guest' } });
  await rejects('forbidden', guest.get('n/a'), /permission denied/);
  await rejects('forbidden', guest.commit([put('n/a', '2')]), /permission denied/);
  await assert.rejects(take(guest, start, { prefix: 'n/', count: 1 }), {
    kind: 'forbidden',
    message: /cannot watch n\/: .*permission denied/,
  });
  await using wrong = await open({ auth: { ...MOOR, password: 'word' } });
  await rejects(
    'forbidden',
    wrong.get('n/a'),
    /^cannot read n\/a: etcd at 127\.0\.0\.1:23790: etcdserver: authentication failed/,
  );

  // Tokens are forgotten after 2 s without use, and by a restart.
  await sleep(5_000);
  await store.commit([put('n/c', '1', { lease })]);
  await server.stop();
  await server.start();
  await sleep(1_500);
  await Promise.all([store.get('n/a'), store.list('n/'), store.commit([put('n/d', '1', { lease })])]);
  assert.deepEqual(
    (await taking).map(({ key }) => key),
    ['n/a', 'n/b', 'n/c', 'n/d'],
  );
  assert.equal(lease.lost.aborted, false);

  // The password was changed: the token is worth nothing, and no new one is given.
  const { token } = (await server.gateway('auth/authenticate', { name: 'root', password: 'secret' })) as { token: string };
  await server.gateway('auth/user/changepw', { name: 'moor', password: 'new' }, token);
  await rejects('forbidden', store.get('n/a'), /authentication failed/);
});

check('what others have written below our prefix hurts nobody', async () => {
  await using server = await startEtcd(PORT);
  const warnings: string[] = [];
  await using store = await open({ logger: { ...silentLogger, warn: (_, message) => void warnings.push(message) } });
  const start = await store.commit([put('h/a', '1')]);
  const taking = take(store, start, { prefix: 'h/', count: 3 });
  const garbage = Buffer.from(Array.from({ length: 256 }, (_, i) => 255 - i));
  for (const key of ['/t/h/', '/t/h//x', '/t/h/ü', '/t/h/a b', '/t/h/x/', `/t/h/${'y'.repeat(2_000)}`])
    await server.put(key, 'x');
  await server.put(Buffer.concat([Buffer.from('/t/h/'), garbage]), garbage);
  await server.put('/t/h/garbage', garbage);
  await server.put('/t/h/large', 'x'.repeat(1_400_000));
  await server.put('/t', 'the prefix itself');
  await server.put('/tt/h/a', 'a neighbour');
  await server.gateway('kv/deleterange', { key: base64('/t/h/'), range_end: base64('/t/h/!') });
  const revision = await store.commit([put('h/b', '1')]);
  const { entries } = await store.list('');
  assert.deepEqual(
    entries.map(({ key }) => key),
    ['h/a', 'h/b', 'h/garbage', 'h/large'],
  );
  const found = await store.get('h/garbage');
  assert.ok(found?.value.includes('\ufffd'), 'the bytes that are no text are marked');
  assert.equal((await store.get('h/large'))?.value.length, 1_400_000);
  assert.deepEqual(
    (await taking).map(({ key }) => key),
    ['h/garbage', 'h/large', 'h/b'],
  );
  // It can be replaced knowingly.
  await store.commit([put('h/garbage', 'ours', { expect: found?.revision ?? 0 })]);
  assert.ok(revision > start);
  assert.equal(warnings.length, 1, warnings.join('\n'));
});
