import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeDns, parseResolvConf, resolvConf } from './resolv-conf.ts';

const HOST =
  '# by systemd\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch example.org lan\noptions edns0\n';
const NONE = { servers: [], search: [], options: [] };
/** Without the comments, which start after an empty line. */
const lines = (text: string): string => text.split('\n\n')[0] ?? '';
const comments = (text: string): string => text.split('\n\n')[1] ?? '';

test('resolv.conf: what it says, line by line', () => {
  assert.deepEqual(
    parseResolvConf(
      'nameserver 192.0.2.1\nnameserver fe80::1%eth0\n;x\ndomain a\nsearch b c\noptions x ndots:2\nnameserver\noptions y\nsortlist 10.0.0.0\n',
    ),
    { servers: ['192.0.2.1'], search: ['b', 'c'], options: ['x', 'ndots:2', 'y'], other: ['sortlist 10.0.0.0'] },
  );
});

test('plain: loopback resolvers and those of a missing family are left out, the rest stays', () => {
  assert.equal(
    resolvConf(HOST, { kind: 'plain', ipv6: false }),
    "nameserver 192.0.2.1\nsearch example.org lan\noptions edns0\n\n# Based on host file: '/etc/resolv.conf' (legacy)\n# Overrides: []\n",
  );
  assert.equal(
    lines(resolvConf(`${HOST}sortlist 10.0.0.0\n`, { kind: 'plain', ipv6: true })),
    'nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch example.org lan\noptions edns0\nsortlist 10.0.0.0',
  );
});

test("plain: Docker's public resolvers when no other is left", () => {
  for (const host of ['', 'nameserver 127.0.0.53\n', 'nameserver ::1\nnameserver nonsense\n']) {
    assert.equal(lines(resolvConf(host, { kind: 'plain', ipv6: false })), 'nameserver 8.8.8.8\nnameserver 8.8.4.4');
  }
  assert.match(lines(resolvConf('', { kind: 'plain', ipv6: true })), /2001:4860:4860::8844$/);
});

test("what the user set takes the place of the host's, kind by kind", () => {
  const host = 'nameserver 192.0.2.1\nsearch example.org\noptions edns0\n';
  const plain = (own: typeof NONE | Record<keyof typeof NONE, string[]>): string =>
    resolvConf(host, { kind: 'plain', ipv6: false, own });
  assert.equal(lines(plain(NONE)), 'nameserver 192.0.2.1\nsearch example.org\noptions edns0');
  const all = plain({ servers: ['127.0.0.1'], search: ['lan', 'corp'], options: ['ndots:2'] });
  assert.equal(lines(all), 'nameserver 127.0.0.1\nsearch lan corp\noptions ndots:2');
  assert.match(comments(all), /^# Overrides: \[nameservers search options\]\n# Option ndots from: override$/m);
  assert.equal(lines(plain({ ...NONE, search: ['.'] })), 'nameserver 192.0.2.1\noptions edns0');
  assert.equal(lines(resolvConf('nameserver 127.0.0.53\n', { kind: 'host', ipv6: false, own: NONE })), 'nameserver 127.0.0.53');
});

test('named: our resolver, with the others in a comment', () => {
  const text = resolvConf(HOST, { kind: 'named', ipv6: false });
  assert.equal(lines(text), 'nameserver 127.0.0.11\nsearch example.org lan\noptions edns0 ndots:0');
  assert.equal(
    comments(text),
    "# Based on host file: '/etc/resolv.conf' (internal resolver)\n" +
      '# ExtServers: [host(127.0.0.53) host(192.0.2.1) host(2001:db8::1)]\n# Overrides: []\n# Option ndots from: internal\n',
  );
  const own = resolvConf(HOST, { kind: 'named', ipv6: false, own: { ...NONE, servers: ['192.0.2.7', '192.0.2.8'] } });
  assert.match(comments(own), /^# ExtServers: \[192\.0\.2\.7 192\.0\.2\.8\]\n# Overrides: \[nameservers\]$/m);
  assert.match(resolvConf('', { kind: 'named', ipv6: true }), /^nameserver 127\.0\.0\.11\noptions ndots:0\n\n.*\n# NO EXTERNAL/);
});

test('named: ndots is 0 unless somebody said otherwise and meant it', () => {
  const options = (host: string, own: readonly string[] = []): string | undefined =>
    /^options (.*)$/m.exec(resolvConf(host, { kind: 'named', ipv6: false, own: { ...NONE, options: own } }))?.[1];
  const from = (host: string, own: readonly string[] = []): string | undefined =>
    /ndots from: (\w+)/.exec(resolvConf(host, { kind: 'named', ipv6: false, own: { ...NONE, options: own } }))?.[1];
  assert.equal(options(''), 'ndots:0');
  assert.equal(options('options ndots:5\n'), 'ndots:5');
  assert.equal(from('options ndots:5\n'), 'host');
  assert.equal(options('options ndots:5\n', ['timeout:1']), 'timeout:1 ndots:0');
  assert.equal(from('options ndots:5\n', ['timeout:1']), 'internal');
  assert.equal(options('', ['ndots:2']), 'ndots:2');
  assert.equal(from('', ['ndots:2']), 'override');
  assert.equal(options('', ['ndots:', 'rotate']), 'rotate ndots:0');
});

test('what is asked for is asked for kind by kind', () => {
  const daemon = { servers: ['192.0.2.1'], search: ['lan'], options: [] };
  assert.deepEqual(mergeDns({ servers: [], search: ['corp'], options: ['rotate'] }, daemon), {
    servers: ['192.0.2.1'],
    search: ['corp'],
    options: ['rotate'],
  });
  assert.deepEqual(mergeDns(undefined, undefined), NONE);
});
