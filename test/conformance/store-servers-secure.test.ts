// test-timeout: 120 s
/** Consul and ZooKeeper: who may talk to whom, and what others have written below our prefix. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bootClock } from '../../src/base/boot-clock.ts';
import { type Logger, silentLogger } from '../../src/base/clock.ts';
import type { Store } from '../../src/contracts/store.ts';
import { openConsulStore } from '../../src/store/consul/store.ts';
import { parseConsulUrl } from '../../src/store/consul/url.ts';
import { openZookeeperStore } from '../../src/store/zookeeper/store.ts';
import { parseZookeeperUrl } from '../../src/store/zookeeper/url.ts';
import { createAuthority } from '../support/certificates.ts';
import { type ConsulServer, NO_CONSUL, startConsul } from '../support/consul.ts';
import { startTlsFront } from '../support/tls-front.ts';
import { NO_ZOOKEEPER, startZookeeper } from '../support/zookeeper.ts';
import { eventually, put, rejects } from './store-harness.ts';

const PORT = 23_960;
const FRONT = PORT + 20;

const deps = { logger: silentLogger, clock: bootClock, timeoutMs: 3_000 };
const consul = (url: string, logger: Logger = silentLogger): Promise<Store> =>
  openConsulStore({ ...parseConsulUrl(url, {}), ...deps, logger });
const zookeeper = (url: string, logger: Logger = silentLogger): Promise<Store> =>
  openZookeeperStore({ ...parseZookeeperUrl(url), ...deps, logger });

async function tlsCheck(open: (url: string) => Promise<Store>, scheme: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'moor-tls-'));
  try {
    const ours = createAuthority(folder, 'ours');
    const theirs = createAuthority(folder, 'theirs');
    const { cert, key } = ours.sign('client', 'DNS:client');
    await using _front = await startTlsFront(FRONT, PORT, {
      ca: ours.ca,
      ...ours.sign('server', 'IP:127.0.0.1,DNS:localhost'),
      wantsClient: true,
    });
    for (const host of ['127.0.0.1', 'localhost']) {
      await using store = await open(`${scheme}://${host}:${FRONT}/t?ca=${ours.ca}&cert=${cert}&key=${key}`);
      await store.commit([put('n/a', host)]);
      assert.equal((await store.get('n/a'))?.value, host);
      await using lease = await store.lease(15_000);
      await store.commit([put('n/b', '1', { lease })]);
    }
    await using wrong = await open(`${scheme}://127.0.0.1:${FRONT}/t?ca=${theirs.ca}&cert=${cert}&key=${key}`);
    await rejects('unavailable', wrong.get('n/a'), /certificate|signature/);
    await using without = await open(`${scheme}://127.0.0.1:${FRONT}/t?ca=${ours.ca}`);
    await rejects('unavailable', without.get('n/a'), /127\.0\.0\.1:/);
    await using plain = await open(`${scheme}://127.0.0.1:${FRONT}/t`);
    await rejects('unavailable', plain.get('n/a'), /127\.0\.0\.1:/);
    await rejects('invalid', open(`${scheme}://h/t?ca=${join(folder, 'none.pem')}`), /cannot read ca: ENOENT.*none\.pem/);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('Consul: TLS in both directions', { skip: NO_CONSUL }, async () => {
  await using _server = await startConsul(PORT);
  await tlsCheck(consul, 'consul');
});

test('ZooKeeper: TLS in both directions', { skip: NO_ZOOKEEPER }, async () => {
  await using _server = await startZookeeper(PORT);
  await tlsCheck(zookeeper, 'zk');
});

const MASTER = '8f246b77-f3e1-ff88-5b48-8ec93abf3e05';

async function tokenFor(server: ConsulServer, name: string, rules: string): Promise<string> {
  const ask = async (path: string, body: unknown): Promise<string> => {
    const { status, text } = await server.ask('PUT', path, { body: JSON.stringify(body), token: MASTER });
    assert.equal(status, 200, text);
    return text;
  };
  await eventually(async () => (await server.ask('GET', '/v1/acl/tokens', { token: MASTER })).status === 200);
  await ask('/v1/acl/policy', { Name: name, Rules: rules });
  return (JSON.parse(await ask('/v1/acl/token', { Policies: [{ Name: name }] })) as { SecretID: string }).SecretID;
}

test('Consul: a token with the rights works; none, a wrong one and one without them are forbidden, and nothing looks empty', {
  skip: NO_CONSUL,
}, async () => {
  await using server = await startConsul(PORT, {
    config: { acl: { enabled: true, default_policy: 'deny', tokens: { master: MASTER } } },
  });
  const ours = await tokenFor(server, 'ours', 'key_prefix "t/" { policy = "write" } session_prefix "" { policy = "write" }');
  const theirs = await tokenFor(server, 'theirs', 'key_prefix "other/" { policy = "write" }');
  await using store = await consul(`consul://${ours}@127.0.0.1:${PORT}/t`);
  const lease = await store.lease(10_000);
  await store.commit([put('n/a', '1'), put('n/b', '1', { lease })]);
  assert.equal((await store.list('')).entries.length, 2);
  for (const who of [`${theirs}@`, '00000000-0000-4000-8000-000000000001@', '']) {
    await using other = await consul(`consul://${who}127.0.0.1:${PORT}/t`);
    const said = /(Permission denied|ACL not found|permission denied)/;
    await rejects('forbidden', other.get('n/a'), said);
    await rejects('forbidden', other.list(''), said);
    await rejects('forbidden', other.commit([put('n/a', '2')]), said);
    await rejects('forbidden', other.lease(10_000), said);
    const watching = other.watch('', 1, AbortSignal.timeout(8_000))[Symbol.asyncIterator]().next();
    await assert.rejects(watching, { kind: 'forbidden' });
  }
  // The token is taken away: what is there does not look deleted.
  const { revision } = await store.list('n/');
  const watching = store.watch('n/', revision, AbortSignal.timeout(10_000))[Symbol.asyncIterator]().next();
  const ended = assert.rejects(watching, { kind: 'forbidden' });
  const { text } = await server.ask('GET', '/v1/acl/tokens', { token: MASTER });
  const tokens = JSON.parse(text) as readonly {
    readonly AccessorID: string;
    readonly Policies: readonly { readonly Name: string }[] | null;
  }[];
  const accessor = tokens.find(({ Policies }) => Policies?.some(({ Name }) => Name === 'ours'))?.AccessorID;
  assert.equal((await server.ask('DELETE', `/v1/acl/token/${accessor}`, { token: MASTER })).status, 200);
  await server.ask('PUT', '/v1/kv/t/n/c', { body: 'x', token: MASTER });
  await ended;
});

test('ZooKeeper: what one made others may not read; a name that is not believed is forbidden', {
  skip: NO_ZOOKEEPER,
}, async () => {
  await using _server = await startZookeeper(PORT);
  await using store = await zookeeper(`zk://moor:pass%3Aword@127.0.0.1:${PORT}/t`);
  await using lease = await store.lease(10_000);
  await store.commit([put('n/a', '1'), put('n/b', '1', { lease })]);
  await using same = await zookeeper(`zk://moor:pass%3Aword@127.0.0.1:${PORT}/t`);
  assert.equal((await same.list('')).entries.length, 2);
  for (const who of ['', 'moor:word@', 'guest:guest@']) {
    await using other = await zookeeper(`zk://${who}127.0.0.1:${PORT}/t`);
    await rejects('forbidden', other.get('n/a'), /^cannot read n\/a: ZooKeeper at 127\.0\.0\.1:23960: no auth$/);
    await rejects('forbidden', other.list(''), /no auth/);
    await rejects('forbidden', other.commit([put('n/a', '2')]), /no auth/);
    await assert.rejects(other.watch('', 1, AbortSignal.timeout(8_000))[Symbol.asyncIterator]().next(), { kind: 'forbidden' });
  }
});

test('Consul: what others have written below our prefix hurts nobody', { skip: NO_CONSUL }, async () => {
  await using server = await startConsul(PORT);
  const warnings: string[] = [];
  await using store = await consul(`consul://127.0.0.1:${PORT}/t`, {
    ...silentLogger,
    warn: (_, message) => void warnings.push(message),
  });
  await store.commit([put('h/a', '1')]);
  const garbage = Buffer.from(Array.from({ length: 256 }, (_, i) => 255 - i));
  for (const key of ['t/h/', 't/h/ü', 't/h/a b', 't/h/x/', `t/h/${'y'.repeat(1_000)}`, 't', 'tt/h/a']) await server.put(key, 'x');
  await server.put('t/h/garbage', garbage);
  await server.put('t/h/large', 'x'.repeat(500_000));
  const { entries } = await store.list('');
  assert.deepEqual(
    entries.map(({ key }) => key),
    ['h/a', 'h/garbage', 'h/large'],
  );
  const found = await store.get('h/garbage');
  assert.ok(found?.value.includes('\ufffd'), 'the bytes that are no text are marked');
  // It can be replaced knowingly.
  await store.commit([put('h/garbage', 'ours', { expect: found?.revision ?? 0 })]);
  assert.equal(warnings.length, 1, warnings.join('\n'));
});

test('ZooKeeper: what others have written below our prefix hurts nobody', { skip: NO_ZOOKEEPER }, async () => {
  await using server = await startZookeeper(PORT);
  const warnings: string[] = [];
  await using store = await zookeeper(`zk://127.0.0.1:${PORT}/t`, {
    ...silentLogger,
    warn: (_, message) => void warnings.push(message),
  });
  await store.commit([put('h/a', '1'), put('h/a/b', '2')]);
  // By ZooKeeper's own command line.
  const paths = ['/t/h', '/t/h:/plain', '/t/h:/ü=', '/t/h:/=', '/t/h:/garbage=', '/t/x=', '/t/x=/y=', '/tt', '/tt/h='];
  const said = await server.cli([...paths.map((path) => `create ${path} foreign`), 'set /t/h:/a= theirs', 'ls -R /t']);
  const { entries } = await store.list('');
  assert.deepEqual(
    entries.map(({ key, value }) => [key, value]),
    [
      ['h/a', 'theirs'],
      ['h/a/b', '2'],
      ['h/garbage', 'foreign'],
      ['x', 'foreign'],
    ],
    said,
  );
  const found = await store.get('h/garbage');
  await store.commit([put('h/garbage', 'ours', { expect: found?.revision ?? 0 })]);
  assert.match(await server.cli(['get /t/h:/garbage=']), /^ours$/m);
  assert.equal(warnings.length, 1, warnings.join('\n'));
});

test('ZooKeeper: a lease that is longer than the server allows is refused, with what to do', { skip: NO_ZOOKEEPER }, async () => {
  await using _server = await startZookeeper(PORT, { lines: ['maxSessionTimeout=40000'] });
  await using store = await zookeeper(`zk://127.0.0.1:${PORT}/t`);
  await rejects(
    'invalid',
    store.lease(86_400_000),
    /^cannot take a lease of 86400 s: ZooKeeper at 127\.0\.0\.1:23960 lets a session live for 40 s at most; raise maxSessionTimeout there to 86400000$/,
  );
  await using two = await store.lease(40_000);
  await store.commit([put('n/a', '1', { lease: two })]);
});
