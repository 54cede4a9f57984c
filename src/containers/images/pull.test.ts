import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insecureRegistries } from './insecure.ts';
import { choose, type Descriptor, parsePlatform, showPlatform } from './manifest.ts';
import { parseReference, withTag } from './reference.ts';
import { pullError } from './skopeo.ts';

const reference = withTag(parseReference('busybox'));
const fatal = (message: string): string => `time="2026-11-30T05:37:17Z" level=fatal msg=${JSON.stringify(message)}\n`;

test("skopeo's words become Docker's", () => {
  const source = 'Error parsing image name "docker://docker.io/library/busybox:latest": ';
  const denied = `pull access denied for busybox, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`;
  const table: readonly (readonly [said: string, kind: string, message: string])[] = [
    [
      `${source}reading manifest latest in docker.io/library/busybox: manifest unknown: manifest unknown`,
      'not-found',
      'manifest for busybox:latest not found: manifest unknown: manifest unknown',
    ],
    [
      `${source}reading manifest latest in x: name unknown: repository name not known to registry`,
      'not-found',
      'repository busybox not found: name unknown: repository name not known to registry',
    ],
    [`${source}reading manifest latest in x: unauthorized: authentication required`, 'not-found', denied],
    [`${source}reading manifest latest in x: requested access to the resource is denied`, 'not-found', denied],
    [`${source}unable to retrieve auth token: invalid username/password: unauthorized: incorrect`, 'not-found', denied],
    [
      `${source}pinging container registry h: Get "https://h/v2/": dial tcp: lookup h: no such host`,
      'unavailable',
      'Get "https://h/v2/": dial tcp: lookup h: no such host',
    ],
    ['initializing source docker://x: something new', 'internal', 'Cannot pull busybox:latest: something new'],
    [
      'writing blob: write /x/dir-put-blob1: no space left on device',
      'exhausted',
      'Cannot write image data: no space left on device',
    ],
  ];
  for (const [said, kind, message] of table) {
    const error = pullError(`DEPRECATED: something\n${fatal(said)}`, reference);
    assert.deepEqual([error.kind, error.message], [kind, message]);
  }
  assert.equal(pullError('', reference).message, 'Cannot pull busybox:latest: skopeo failed without a word');
  assert.equal(pullError('unknown command\n', reference).message, 'Cannot pull busybox:latest: unknown command');
});

test('insecure are loopback and what was named', () => {
  const isInsecure = insecureRegistries(['plain.test', 'port.test:81', '10.1.0.0/16', 'fd00::/8']);
  for (const yes of [
    'localhost',
    'localhost:1',
    '127.0.0.1',
    '127.9.9.9:5',
    '[::1]:5000',
    'plain.test',
    'plain.test:9',
    'port.test:81',
    '10.1.2.3:5',
    '[fd00::1]',
  ]) {
    assert.equal(isInsecure(yes), true, yes);
  }
  for (const no of [
    'docker.io',
    'port.test',
    'port.test:82',
    '10.2.0.1',
    '128.0.0.1',
    'localhost.test',
    '127.0.0.1.test',
    '[fe80::1]:1',
  ]) {
    assert.equal(isInsecure(no), false, no);
  }
  for (const bad of ['10.0.0.0/33', 'host/8', '10.0.0.0/x'])
    assert.throws(() => insecureRegistries([bad]), { kind: 'invalid' }, bad);
});

test('the manifest for a platform', () => {
  const item = (digest: string, text: string | null): Descriptor => ({
    digest,
    mediaType: '',
    size: 0,
    annotations: {},
    platform: text === null ? null : parsePlatform(text),
  });
  const list = [
    item('a', 'linux/arm/v6'),
    item('b', 'linux/arm/v7'),
    item('c', 'windows/amd64'),
    item('d', 'linux/amd64'),
    item('e', 'unknown/unknown'),
  ];
  for (const [platform, digest] of [
    ['linux/arm/v7', 'b'],
    ['linux/arm', 'a'],
    ['amd64', 'd'],
    ['Linux/AMD64', 'd'],
    ['windows/amd64', 'c'],
  ] as const) {
    assert.equal(choose(list, parsePlatform(platform)).digest, digest, platform);
  }
  for (const platform of ['linux/arm/v8', 'linux/s390x']) {
    assert.throws(() => choose(list, parsePlatform(platform)), {
      kind: 'not-found',
      message: `no matching manifest for ${platform} in the manifest list entries`,
    });
  }
  assert.equal(choose([item('only', null)], parsePlatform('')).digest, 'only');
  assert.equal(showPlatform(parsePlatform('linux/arm64/v8')), 'linux/arm64/v8');
  for (const bad of ['a/b/c/d', 'linux/', 'li nux/a']) assert.throws(() => parsePlatform(bad), { kind: 'invalid' }, bad);
});
