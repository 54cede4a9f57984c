import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Progress, RegistryAuth } from '../../contracts/containers.ts';
import type { Image } from '../../model/container.ts';
import { busyboxArchive, imageArchive } from '../../../test/support/images.ts';
import { NEVER, openImages, scratch, type TestImages, writeTar } from './images.testing.ts';
import { CREDENTIALS, startRegistry } from './registry.testing.ts';

interface Pulled {
  readonly image: Image;
  /** `id: status`, a line each; repeated progress of bytes once. */
  readonly lines: readonly string[];
}

async function pull(
  { images }: TestImages,
  name: string,
  how: { readonly auth?: RegistryAuth; readonly platform?: string; readonly signal?: AbortSignal } = {},
): Promise<Pulled> {
  const lines: string[] = [];
  const progress = ({ id, status }: Progress): void => {
    const line = id === undefined ? status : `${id}: ${status}`;
    if (lines.at(-1) !== line) lines.push(line);
  };
  const image = await images.pull(name, { signal: NEVER, ...how, progress });
  return { image, lines };
}

/** What a registry has under a name. */
interface Served {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string }[];
}
const served = (name: string): Served =>
  JSON.parse(
    execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`], { encoding: 'utf8' }),
  ) as Served;
const digestOf = (name: string): string =>
  (
    JSON.parse(execFileSync('skopeo', ['inspect', '--tls-verify=false', `docker://${name}`], { encoding: 'utf8' })) as {
      Digest: string;
    }
  ).Digest;

test("an image is pulled with Docker's lines, and pulling it again finds it up to date", async () => {
  using dir = scratch();
  await using registry = await startRegistry(dir.folder);
  const made = busyboxArchive(dir.path('b.tar'));
  registry.push(dir.path('b.tar'), 'some/busybox:1');
  const name = `${registry.host}/some/busybox:1`;
  const layer = served(name).layers[0]?.digest.slice(7, 19);
  const digest = digestOf(name);
  const opened = await openImages(dir.path('data'));
  const first = await pull(opened, name);
  assert.equal(first.image.id, made.id);
  assert.deepEqual(first.image.layers, made.diffIds);
  assert.deepEqual(first.image.tags, [name]);
  assert.deepEqual(first.image.digests, [`${registry.host}/some/busybox@${digest}`]);
  assert.deepEqual(first.lines, [
    '1: Pulling from some/busybox',
    `${layer}: Pulling fs layer`,
    `${layer}: Download complete`,
    `${layer}: Extracting`,
    `${layer}: Pull complete`,
    `Digest: ${digest}`,
    `Status: Downloaded newer image for ${name}`,
  ]);
  assert.ok(existsSync(`${opened.images.lower(name)[0]}/bin/sh`));
  const second = await pull(opened, name);
  assert.deepEqual(second.lines, [
    '1: Pulling from some/busybox',
    `${layer}: Already exists`,
    `Digest: ${digest}`,
    `Status: Image is up to date for ${name}`,
  ]);
  assert.deepEqual(second.image, first.image);
  const byDigest = await pull(opened, `${registry.host}/some/busybox@${digest}`);
  assert.equal(byDigest.image.id, made.id);
  assert.equal(byDigest.lines[0], `${digest}: Pulling from some/busybox`);
  assert.equal(opened.images.get(`${registry.host}/some/busybox@${digest}`).id, made.id);
  assert.deepEqual(readdirSync(dir.path('data/images/tmp')), []);
  // With the last tag of the repository goes the digest, as Docker has it.
  const removed = await opened.images.remove(name, { force: false, noPrune: false, inUse: () => null });
  assert.deepEqual(removed.slice(0, 3), [
    { untagged: name },
    { untagged: `${registry.host}/some/busybox@${digest}` },
    { deleted: made.id },
  ]);
  assert.deepEqual(await opened.leftovers(), []);
});

test('layers that are here are not fetched again', async () => {
  using dir = scratch();
  await using registry = await startRegistry(dir.folder);
  const [base, top] = ['base', 'top'].map((name) => writeTar(dir.path(name), { name, content: name.repeat(1000) }));
  imageArchive(dir.path('1.tar'), { layers: [base ?? ''] });
  const two = imageArchive(dir.path('2.tar'), { layers: [base ?? '', top ?? '', top ?? ''] });
  registry.push(dir.path('1.tar'), 'app:1');
  registry.push(dir.path('2.tar'), 'app:2');
  const opened = await openImages(dir.path('data'));
  await pull(opened, `${registry.host}/app:1`);
  const shared = served(`${registry.host}/app:1`).layers[0]?.digest ?? '';
  assert.equal(served(`${registry.host}/app:2`).layers[0]?.digest, shared);
  rmSync(registry.blob(shared));
  const { image, lines } = await pull(opened, `${registry.host}/app:2`);
  assert.equal(image.id, two.id);
  assert.ok(lines.includes(`${shared.slice(7, 19)}: Already exists`));
  assert.equal(lines.filter((line) => line.endsWith(': Pull complete')).length, 2);
  assert.deepEqual(image.layers, two.diffIds);
});

test('a registry with a password', async () => {
  using dir = scratch();
  await using registry = await startRegistry(dir.folder, { private: true });
  busyboxArchive(dir.path('b.tar'));
  registry.push(dir.path('b.tar'), 'secret/box:1');
  const opened = await openImages(dir.path('data'));
  const name = `${registry.host}/secret/box:1`;
  const denied = `pull access denied for ${registry.host}/secret/box, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`;
  await assert.rejects(pull(opened, name), { kind: 'not-found', message: denied });
  await assert.rejects(pull(opened, name, { auth: { ...CREDENTIALS, password: 'wrong' } }), {
    kind: 'not-found',
    message: denied,
  });
  assert.deepEqual(await opened.leftovers(), []);
  const { image } = await pull(opened, name, { auth: CREDENTIALS });
  assert.deepEqual(image.tags, [name]);
  // The credentials were a file for that one pull.
  const written = Buffer.from(`${CREDENTIALS.username}:${CREDENTIALS.password}`).toString('base64');
  assert.equal(spawnSync('grep', ['-rl', written, dir.path('data')]).status, 1, 'no file has them');
});

test("what is not there is said in Docker's words", async () => {
  using dir = scratch();
  await using registry = await startRegistry(dir.folder);
  busyboxArchive(dir.path('b.tar'));
  registry.push(dir.path('b.tar'), 'box:1');
  const opened = await openImages(dir.path('data'));
  const unknown = (name: string): object => ({
    kind: 'not-found',
    message: `manifest for ${name} not found: manifest unknown: manifest unknown`,
  });
  for (const name of ['box:2', 'nothing:1', `box@sha256:${'0'.repeat(64)}`]) {
    await assert.rejects(pull(opened, `${registry.host}/${name}`), unknown(`${registry.host}/${name}`));
  }
  await assert.rejects(pull(opened, '127.0.0.1:1/box:1'), {
    kind: 'unavailable',
    message: 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
  });
  await assert.rejects(pull(opened, 'Box'), {
    kind: 'invalid',
    message: 'invalid reference format: repository name must be lowercase',
  });
  await assert.rejects(pull(opened, `${registry.host}/box:1`, { platform: 'a/b/c/d' }), { kind: 'invalid' });
  const none = await openImages(dir.path('none'), { programs: { skopeo: 'no-such-skopeo' } });
  await assert.rejects(pull(none, `${registry.host}/box:1`), {
    kind: 'unavailable',
    message: 'Cannot run no-such-skopeo: it is not installed',
  });
  assert.deepEqual(await opened.leftovers(), []);
});

test('plain HTTP is for loopback and for registries that were named', async () => {
  using dir = scratch();
  await using registry = await startRegistry(dir.folder);
  busyboxArchive(dir.path('b.tar'));
  registry.push(dir.path('b.tar'), 'box:1');
  // The same registry by an address that is not loopback's.
  execFileSync('ip', ['address', 'add', '198.51.100.1/32', 'dev', 'lo']);
  const port = registry.host.split(':')[1];
  const relay = createServer((from) => {
    void import('node:net').then(({ connect }) => {
      const to = connect(Number(port), '127.0.0.1');
      from.pipe(to).pipe(from);
      for (const [a, b] of [
        [from, to],
        [to, from],
      ] as const)
        a.on('error', () => b.destroy()).on('close', () => b.destroy());
    });
  }).listen(0, '198.51.100.1');
  await once(relay, 'listening');
  const address = relay.address();
  const host = `198.51.100.1:${address !== null && typeof address === 'object' ? address.port : 0}`;
  try {
    const strict = await openImages(dir.path('strict'));
    await assert.rejects(pull(strict, `${host}/box:1`), /server gave HTTP response to HTTPS client/);
    for (const named of [host, '198.51.100.0/24']) {
      const opened = await openImages(dir.path(`data-${named.length}`), { insecureRegistries: [named] });
      assert.deepEqual((await pull(opened, `${host}/box:1`)).image.tags, [`${host}/box:1`]);
    }
  } finally {
    relay.close();
    execFileSync('ip', ['address', 'del', '198.51.100.1/32', 'dev', 'lo']);
  }
});

test('a registry that lost or changed something gets nothing in', async () => {
  using dir = scratch();
  await using registry = await startRegistry(dir.folder);
  busyboxArchive(dir.path('b.tar'));
  registry.push(dir.path('b.tar'), 'box:1');
  const name = `${registry.host}/box:1`;
  const { config, layers } = served(name);
  const opened = await openImages(dir.path('data'));
  const layer = layers[0]?.digest ?? '';
  const unknown = { kind: 'not-found', message: `manifest for ${name} not found: manifest unknown: manifest unknown` };
  const lost = { kind: 'not-found', message: 'unknown blob' };
  for (const [digest, changed, deleted] of [
    [digestOf(name), unknown, unknown], // the registry itself looks at manifests
    [config.digest, { kind: 'invalid', message: `image config verification failed for digest ${config.digest}` }, lost],
    [layer, { kind: 'invalid', message: `filesystem layer verification failed for digest ${layer}` }, lost],
  ] as const) {
    const file = registry.blob(digest);
    const good = readFileSync(file);
    writeFileSync(file, good[0] === 0x1f ? gzipSync('other') : Buffer.concat([good, Buffer.from(' ')]));
    await assert.rejects(pull(opened, name), changed, `changed ${digest}`);
    assert.deepEqual(await opened.leftovers(), []);
    rmSync(file);
    await assert.rejects(pull(opened, name), deleted, `deleted ${digest}`);
    assert.deepEqual(await opened.leftovers(), []);
    writeFileSync(file, good);
  }
  await pull(opened, name);
});

test('skopeo is not believed either', async () => {
  using dir = scratch();
  await using registry = await startRegistry(dir.folder);
  busyboxArchive(dir.path('b.tar'));
  registry.push(dir.path('b.tar'), 'box:1');
  const name = `${registry.host}/box:1`;
  const hex = served(name).layers[0]?.digest.slice(7) ?? '';
  const liar = dir.path('liar');
  const scripts: readonly (readonly [script: string, message: RegExp])[] = [
    [
      `skopeo "$@" && case "$*" in *" copy "*) f=$(find . -name ${hex}); printf x | gzip >> $f;; esac`,
      /^filesystem layer verification failed for digest sha256:/,
    ],
    [`case "$*" in *" copy "*) skopeo "$@" && find . -name ${hex} -delete;; *) skopeo "$@";; esac`, /did not serve blob sha256:/],
    ['skopeo "$@"; case "$*" in *--config*) echo " ";; esac', /wrong digest/],
  ];
  for (const [script, message] of scripts) {
    writeFileSync(liar, `#!/bin/sh\n${script}\n`);
    chmodSync(liar, 0o755);
    const opened = await openImages(dir.path('data'), { programs: { skopeo: liar } });
    await assert.rejects(pull(opened, name), { kind: 'invalid', message });
    assert.deepEqual(await opened.leftovers(), []);
  }
});

test('a list of manifests: the one for this machine, or for the platform asked for', async () => {
  using dir = scratch();
  await using registry = await startRegistry(dir.folder);
  const [host, other] = ['host', 'other'].map((name) => {
    const made = imageArchive(dir.path(`${name}.tar`), { layers: [writeTar(dir.path(name), { name })] });
    registry.push(dir.path(`${name}.tar`), `multi:${name}`);
    return {
      ...made,
      digest: digestOf(`${registry.host}/multi:${name}`),
      size: execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${registry.host}/multi:${name}`]).length,
    };
  });
  const type = 'application/vnd.docker.distribution.manifest';
  const item = (made: typeof host, platform: object): object => ({
    mediaType: `${type}.v2+json`,
    digest: made?.digest,
    size: made?.size,
    platform,
  });
  const digest = await registry.put('multi:all', `${type}.list.v2+json`, {
    schemaVersion: 2,
    mediaType: `${type}.list.v2+json`,
    manifests: [
      item(other, { os: 'linux', architecture: 'riscv64' }),
      item(host, { os: 'linux', architecture: 'amd64' }),
      item(host, { os: 'linux', architecture: 'arm64', variant: 'v8' }),
    ],
  });
  const opened = await openImages(dir.path('data'));
  const name = `${registry.host}/multi:all`;
  const first = await pull(opened, name);
  assert.equal(first.image.id, host?.id);
  assert.ok(first.lines.includes(`Digest: ${digest}`));
  assert.deepEqual(first.image.digests, [`${registry.host}/multi@${digest}`]);
  assert.equal((await pull(opened, name, { platform: 'linux/riscv64' })).image.id, other?.id);
  await assert.rejects(pull(opened, name, { platform: 'linux/s390x' }), {
    kind: 'not-found',
    message: 'no matching manifest for linux/s390x in the manifest list entries',
  });
});

test('a pull that is cancelled while the registry says nothing leaves nothing', async () => {
  using dir = scratch();
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const address = silent.address();
  const stop = new AbortController();
  silent.once('connection', () => stop.abort());
  const opened = await openImages(dir.path('data'));
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  await assert.rejects(pull(opened, `127.0.0.1:${port}/box:1`, { signal: stop.signal }), { kind: 'cancelled' });
  assert.deepEqual(await opened.leftovers(), []);
  silent.close();
});
