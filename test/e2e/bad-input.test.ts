// test-timeout: 120 s
/**
 * Whatever comes over the socket: the daemon answers with a clear 4xx that names the value, nothing has changed in the kernel, the
 * files and the store, it goes on answering others meanwhile, and keeps no descriptor. What single fields mean is the business of
 * test/api; here real bytes go to the real daemon.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, send, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { withoutCarrier } from '../support/carrier.ts';
import { until } from '../support/snapshot.ts';
import { claims, faults } from '../support/truth.ts';

let daemon: TestDaemon;
before(async () => {
  daemon = await startDaemon();
  const made = await daemon.request('POST', '/moor/networks', { name: 'taken', pools: [{ subnet: '10.50.0.0/24' }] });
  assert.equal(made.status, 201, made.text);
  const box = { name: 'box', networks: [{ network: 'taken', endpoint: { ipv4: '10.50.0.9' } }] };
  assert.equal((await daemon.request('POST', '/moor/sandboxes', box)).status, 201);
});
after(() => daemon[Symbol.asyncDispose]());

/** What must be the same afterwards. */
interface State {
  readonly claims: unknown;
  readonly links: string;
  readonly rules: string;
  readonly errors: number;
}

async function state(): Promise<State> {
  const links = await daemon.inside('ip', '-j', 'addr');
  const rules = await daemon.inside('nft', '-j', 'list', 'ruleset');
  const errors = daemon.log().match(/ (ERROR|FATAL) /g)?.length ?? 0;
  return { claims: await claims(daemon), links: withoutCarrier(links.stdout), rules: rules.stdout, errors };
}

let earlier: State;
let descriptors: number;
const open = (): number => readdirSync(`/proc/${daemon.pid()}/fd`).length;
beforeEach(async () => {
  earlier = await state();
  descriptors = open();
});
afterEach(async () => {
  assert.deepEqual(await state(), earlier);
  assert.deepEqual(await faults(daemon), []);
  assert.ok(await until(() => open() <= descriptors), `${open()} descriptors, ${descriptors} before`);
});

const message = (answer: Answer): string => (answer.json() as { readonly message: string }).message;

describe('values', () => {
  const net = (pool: Readonly<Record<string, unknown>>): unknown => ({ name: 'new', pools: [pool] });
  const NETWORKS = '/moor/networks';
  const SANDBOXES = '/moor/sandboxes';
  const rows: readonly (readonly [what: string, path: string, body: unknown, status: number, says: RegExp])[] = [
    ['a subnet in use', NETWORKS, net({ subnet: '10.50.0.128/25' }), 409, /overlaps/],
    [
      'two subnets that overlap',
      NETWORKS,
      { name: 'new', pools: [{ subnet: '10.61.0.0/16' }, { subnet: '10.61.7.0/24' }] },
      400,
      /10\.61\./,
    ],
    ['host bits', NETWORKS, net({ subnet: '10.60.0.1/24' }), 400, /10\.60\.0\.1\/24/],
    ['a gateway outside', NETWORKS, net({ subnet: '10.60.0.0/24', gateway: '10.61.0.1' }), 400, /10\.61\.0\.1/],
    ['/33', NETWORKS, net({ subnet: '10.60.0.0/33' }), 400, /10\.60\.0\.0\/33/],
    [
      'a v4 gateway on a v6 subnet',
      NETWORKS,
      { ipv6: true, ...(net({ subnet: 'fd01::/64', gateway: '10.0.0.1' }) as object) },
      400,
      /10\.0\.0\.1/,
    ],
    ['a slash in a name', NETWORKS, { name: 'a/b' }, 400, /a\/b/],
    ['a NUL in a name', NETWORKS, { name: 'a\0b' }, 400, /name/],
    ['a newline in a name', NETWORKS, { name: 'ab\n' }, 400, /name/],
    ['a path for a name', SANDBOXES, { name: '../../etc' }, 400, /\.\.\/\.\.\/etc/],
    ['4,096 characters', NETWORKS, { name: 'n'.repeat(4096) }, 400, /4096 characters/],
    ['4,096 characters in a sandbox', SANDBOXES, { name: 'n'.repeat(4096) }, 400, /4096|nnn/],
    [
      'an address in use',
      SANDBOXES,
      { name: 'new', networks: [{ network: 'taken', endpoint: { ipv4: '10.50.0.9' } }] },
      409,
      /Address already in use/,
    ],
    [
      'the gateway for an address',
      SANDBOXES,
      { name: 'new', networks: [{ network: 'taken', endpoint: { ipv4: '10.50.0.1' } }] },
      409,
      /Address already in use/,
    ],
    [
      'the broadcast address',
      SANDBOXES,
      { name: 'new', networks: [{ network: 'taken', endpoint: { ipv4: '10.50.0.255' } }] },
      400,
      /10\.50\.0\.255/,
    ],
    [
      'a multicast MAC',
      SANDBOXES,
      { name: 'new', networks: [{ network: 'taken', endpoint: { mac: '01:00:5e:00:00:01' } }] },
      400,
      /01:00:5e:00:00:01/,
    ],
    [
      'an interface name with a slash',
      SANDBOXES,
      { name: 'new', networks: [{ network: 'taken', endpoint: { interfaceName: 'a/b' } }] },
      400,
      /a\/b/,
    ],
    ['a namespace that is a file', SANDBOXES, { name: 'new', adopt: { path: '/etc/hostname' } }, 404, /\/etc\/hostname/],
    ['a namespace that is not there', SANDBOXES, { name: 'new', adopt: { path: '/nope' } }, 404, /\/nope/],
    ['a process that is not there', SANDBOXES, { name: 'new', adopt: { pid: 4_000_000 } }, 404, /4000000/],
    ['an unknown driver', NETWORKS, { name: 'new', driver: 'warp' }, 404, /warp/],
    ['an unknown option', NETWORKS, { name: 'new', options: { 'com.docker.network.bridge.colour': 'red' } }, 400, /colour/],
    [
      'a bridge name for the shell',
      NETWORKS,
      { name: 'new', options: { 'com.docker.network.bridge.name': '$(reboot)' } },
      400,
      /\$\(reboot\)/,
    ],
    [
      'a bridge name for nft',
      NETWORKS,
      { name: 'new', options: { 'com.docker.network.bridge.name': 'a" }; drop' } },
      400,
      /a\\" }; drop/,
    ],
  ];
  for (const [what, path, body, status, says] of rows) {
    test(what, async () => {
      const answer = await daemon.request('POST', path, body);
      assert.equal(answer.status, status, answer.text);
      assert.match(message(answer), says);
    });
  }

  test('every wrong type in every place', async () => {
    const network = {
      ...{ name: 'new', driver: 'bridge', scope: 'local', ipv4: true, ipv6: true, internal: false, attachable: true },
      ...{ options: { 'com.docker.network.driver.mtu': '1400' }, labels: { a: 'b' }, ipamDriver: 'default', ipamOptions: {} },
      pools: [{ subnet: '10.62.0.0/24', range: '10.62.0.0/25', gateway: '10.62.0.1', auxiliary: { a: '10.62.0.2' } }],
    };
    const endpoint = {
      ...{ ipv4: '10.50.0.20', mac: '02:00:00:00:00:01', aliases: ['x'], gatewayPriority: 1, interfaceName: 'eth5', options: {} },
    };
    const sandbox = { name: 'new', hostname: 'h', labels: {}, networks: [{ network: 'taken', endpoint }], autoRemove: false };
    const docker = {
      ...{
        Name: 'new',
        Driver: 'bridge',
        Internal: false,
        EnableIPv6: false,
        Options: {},
        Labels: { a: 'b' },
        CheckDuplicate: true,
      },
      IPAM: {
        Driver: 'default',
        Config: [{ Subnet: '10.62.0.0/24', Gateway: '10.62.0.1', AuxiliaryAddresses: {} }],
        Options: {},
      },
    };
    const attach = {
      Container: 'box',
      EndpointConfig: { IPAMConfig: { IPv4Address: '10.50.0.9' }, Aliases: ['x'], MacAddress: '' },
    };
    for (const [path, good] of [
      ['/moor/networks?dryRun=1', network],
      ['/moor/sandboxes?dryRun=1', sandbox],
      ['/moor/networks/taken/connect?dryRun=1', { sandbox: 'box', endpoint }],
      ['/moor/networks/taken/disconnect?dryRun=1', { sandbox: 'box', force: true }],
      ['/moor/sandboxes/nope/process', { pid: 1, startTime: '1', command: ['x'] }],
      ['/networks/create', docker],
      ['/networks/taken/connect', attach],
    ] as const) {
      for (const body of spoiled(good)) {
        const answer = await daemon.request('POST', path, body);
        const what = `${path} ${JSON.stringify(body)}: ${answer.status} ${answer.text}`;
        assert.ok(answer.status < 500 || answer.status === 501, what);
        if (answer.status >= 400) assert.ok(message(answer).length > 5, what);
        else if (path === '/networks/create') {
          assert.equal(answer.status, 201, what);
          const { Id } = answer.json() as { readonly Id: string };
          assert.equal((await daemon.request('DELETE', `/networks/${Id}`)).status, 204);
        }
      }
    }
  });
});

const WRONG: readonly unknown[] = [null, -1, 1.5, 2 ** 53, true, '', 'x\ud800', [], [null], {}, { a: {} }, [[[]]]];

/** The value with each of its parts replaced by each wrong one, one at a time. */
function* spoiled(good: unknown): Generator {
  for (const wrong of WRONG) yield wrong;
  if (typeof good !== 'object' || good === null) return;
  for (const [key, part] of Object.entries(good)) {
    for (const bad of spoiled(part)) {
      yield Array.isArray(good) ? good.with(Number(key), bad) : { ...good, [key]: bad };
    }
  }
}

/** Sends bytes as they are. @returns all that came back until the daemon closed, or until `enough` is in it */
async function raw(parts: readonly (string | Uint8Array)[], enough?: RegExp): Promise<string> {
  const socket = connect(daemon.socket);
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  socket.on('error', () => {}); // a reset: what had come until then counts
  // An empty part is no part: written after the answer it would only meet a closed socket, and lose the answer.
  for (const part of parts.filter(({ length }) => length > 0)) {
    if (socket.writable && !socket.write(part)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
  }
  try {
    await until(() => socket.closed || socket.readableEnded || (enough?.test(text) ?? false));
  } finally {
    socket.destroy();
  }
  return text;
}

const post = (path: string, headers: readonly string[]): string =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n`;
const withBody = (path: string, body: Uint8Array): readonly (string | Uint8Array)[] => [
  post(path, [`Content-Length: ${body.length}`, 'Connection: close']),
  body,
];
const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** VmHWM in bytes: the most that was ever resident. */
const peak = (): number => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${daemon.pid()}/status`, 'utf8'))?.[1]) * 1024;

describe('bodies', () => {
  const MEGABYTE = bytes(' '.repeat(1 << 20));
  for (const [what, start, parts] of [
    [
      'of 100 MB, announced',
      post('/networks/create', [`Content-Length: ${100 * MEGABYTE.length}`]),
      Array<Uint8Array>(100).fill(MEGABYTE),
    ],
    [
      'of 100 MB in chunks',
      post('/networks/create', ['Transfer-Encoding: chunked']),
      Array.from({ length: 100 }, () => Buffer.concat([bytes('100000\r\n'), MEGABYTE, bytes('\r\n')])),
    ],
  ] as const) {
    test(what, async () => {
      const before = peak();
      const text = await raw([start, ...parts], /\r\n\r\n\{.*\}/);
      assert.match(text, /^HTTP\/1\.1 413 /);
      assert.match(text, /"message":"[^"]*(large|limit|1048576)/i);
      assert.ok(peak() - before < 48 * MEGABYTE.length, `${peak() - before} bytes more`);
    });
  }

  for (const [what, body, says] of [
    ['no JSON', bytes('Name=x'), /invalid JSON/],
    ['nothing', bytes(''), /./],
    ['a hundred thousand brackets', bytes('['.repeat(100_000)), /./],
    ['deep and closed', bytes(`${'['.repeat(100_000)}${']'.repeat(100_000)}`), /expected object|too deep|invalid/],
    ['deep in a field', bytes(`{"name":"new","labels":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`), /labels|deep/],
    ['no UTF-8', Buffer.concat([bytes('{"name":"n'), Buffer.from([0xff, 0xfe, 0xc3, 0x28]), bytes('"}')]), /name|UTF-8/],
    ['half a surrogate', bytes('{"name":"n\\ud800"}'), /name/],
    ['a prototype', bytes('{"__proto__":{"name":"new"},"constructor":{"prototype":{"x":1}}}'), /./],
    ['a number beyond all', bytes('{"name":"new","ipv6":1e999}'), /ipv6/],
    ['two values', bytes('{"name":"new"}{"name":"old"}'), /invalid JSON/],
    ['a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes('{"name":1}')]), /./],
  ] as const) {
    test(`of ${what}`, async () => {
      const text = await raw(withBody('/moor/networks', body));
      assert.match(text, /^HTTP\/1\.1 400 /);
      const answer = JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)) as { readonly message: string };
      assert.match(answer.message, says);
      assert.ok(answer.message.length < 2000, 'the message is no copy of the body');
    });
  }
});

describe('requests', () => {
  for (const [what, text, answer] of [
    ['that are none', 'hello\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['in TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', /^HTTP\/1\.1 400 /],
    ['of HTTP 9.9', 'GET /_ping HTTP/9.9\r\n\r\n', /^HTTP\/1\.1 (400|505) /],
    ['with an unknown method', 'FROB /networks HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 (400|404|405) /],
    [
      'with two lengths',
      'POST /networks/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
      /^HTTP\/1\.1 400 /,
    ],
    [
      'with a length and chunks',
      `${post('/networks/create', ['Content-Length: 5', 'Transfer-Encoding: chunked'])}0\r\n\r\n`,
      /^HTTP\/1\.1 400 /,
    ],
    ['with a negative length', post('/networks/create', ['Content-Length: -1']), /^HTTP\/1\.1 400 /],
    ['with a chunk of nonsense', `${post('/networks/create', ['Transfer-Encoding: chunked'])}zz\r\n`, /^HTTP\/1\.1 400 /],
    ['with one header of 64 KB', `GET /_ping HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(64 << 10)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
    ['with 10,000 headers', `GET /_ping HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(10_000)}\r\n`, /^HTTP\/1\.1 431 /],
    ['with a path of 32 KB', `GET /networks/${'n'.repeat(32 << 10)} HTTP/1.1\r\nHost: x\r\n\r\n`, /^HTTP\/1\.1 (404|414|431) /],
    ['with a NUL in the path', 'GET /networks/a%00b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 (400|404) /],
    [
      'with no UTF-8 in the path',
      'GET /networks/%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      /^HTTP\/1\.1 (400|404) /,
    ],
    ['with half an escape', 'GET /networks/%f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 (400|404) /],
    ['out of the root', 'GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 (400|404) /],
    ['for a version of tomorrow', 'GET /v9.99/networks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'with filters of nonsense',
      'GET /networks?filters=%7B%22a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      /^HTTP\/1\.1 400 /,
    ],
    [
      'with another type',
      'POST /networks/create HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}',
      /^HTTP\/1\.1 400 /,
    ],
  ] as const) {
    test(what, async () => assert.match(await raw([bytes(text)], /\r\n\r\n\S/), answer));
  }

  test('a hundred in one packet: all are answered, in order', async () => {
    const paths = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? '/_ping' : `/networks/nope${i}`));
    const text = await raw([paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join('')], /nope99 not found/);
    assert.deepEqual(
      text.match(/HTTP\/1\.1 \d+/g),
      paths.map((path) => (path === '/_ping' ? 'HTTP/1.1 200' : 'HTTP/1.1 404')),
    );
  });
});

/** A connection. The queue of those that the daemon has not accepted yet may be full: then connect(2) says EAGAIN. */
async function connected(): Promise<Socket> {
  let socket: Socket | undefined;
  const established = async (): Promise<boolean> => {
    const attempt = connect(daemon.socket);
    try {
      await once(attempt, 'connect');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return false;
      throw error;
    }
    attempt.on('error', () => {});
    socket = attempt;
    return true;
  };
  assert.ok(await until(established));
  return socket ?? assert.fail();
}

/** Opens connections, each of which sends this and then nothing. */
async function dangling(count: number, text: string): Promise<AsyncDisposable & { readonly sockets: readonly Socket[] }> {
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i++) {
    const socket = await connected();
    sockets.push(socket);
    if (text !== '') socket.write(text);
  }
  return {
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

describe('connections', () => {
  for (const [what, count, text] of [
    ['that say nothing', 1500, ''],
    ['that stop in the middle of a header', 300, 'POST /networks/create HTTP/1.1\r\nHost: x\r\nConte'],
    ['that stop in the middle of a body', 300, `${post('/networks/create', ['Content-Length: 1000'])}{"Name":`],
    ['that stop in the middle of a chunk', 300, `${post('/networks/create', ['Transfer-Encoding: chunked'])}ff\r\n{"Na`],
  ] as const) {
    test(`${count} ${what}: others are served meanwhile`, async () => {
      await using _open = await dangling(count, text);
      for (let i = 0; i < 10; i++) assert.equal((await daemon.request('GET', '/_ping')).status, 200);
      const made = await daemon.request('POST', '/moor/sandboxes', { name: 'meanwhile', networks: [{ network: 'taken' }] });
      assert.equal(made.status, 201, made.text);
      assert.equal((await daemon.request('DELETE', '/moor/sandboxes/meanwhile')).status, 200);
    });
  }

  test('a body a byte at a time', async () => {
    const body = JSON.stringify({ name: 'a/b' });
    const socket = connect(daemon.socket);
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => (text += part));
    for (const part of [post('/moor/networks', [`Content-Length: ${body.length}`]), ...body.split('')]) {
      socket.write(part);
      await sleep(1);
    }
    assert.ok(await until(() => text.includes('}')));
    socket.destroy();
    assert.match(text, /^HTTP\/1\.1 400 .*a\/b/s);
  });

  test('clients that leave before the answer: what they asked for is done or not, but wholly', async () => {
    for (let i = 0; i < 40; i++) {
      const body = JSON.stringify({ name: `left${i}`, networks: [{ network: 'taken' }] });
      const socket = await connected();
      socket.write(post('/moor/sandboxes', [`Content-Length: ${body.length}`]) + body);
      if (i % 2 === 0) await sleep(i / 8);
      socket.destroy();
    }
    // Operations are in order of arrival where they meet: this one is behind all of them.
    assert.deepEqual((await daemon.request('POST', '/moor/reconcile')).json(), { repaired: [] });
    assert.deepEqual(await faults(daemon), []);
    for (const { name } of (await claims(daemon)).sandboxes) {
      if (name.startsWith('left')) assert.equal((await daemon.request('DELETE', `/moor/sandboxes/${name}`)).status, 200);
    }
  });

  test('listeners of events that do not read', async () => {
    await using open = await dangling(20, 'GET /events HTTP/1.1\r\nHost: x\r\n\r\n');
    for (const socket of open.sockets) socket.pause();
    for (let i = 0; i < 20; i++) {
      await send({ socket: daemon.socket, method: 'POST', path: '/moor/networks', body: { name: 'brief' } });
      assert.equal((await daemon.request('DELETE', '/moor/networks/brief')).status, 200);
    }
  });
});
