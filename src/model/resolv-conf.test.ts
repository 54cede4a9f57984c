import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolvConf } from './resolv-conf.ts';

test('resolv.conf: loopback resolvers and those of a missing family are left out, the rest stays', () => {
  const host =
    '# by systemd\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch example.org lan\noptions edns0\n';
  assert.equal(resolvConf(host, { ipv6: false }), 'nameserver 192.0.2.1\nsearch example.org lan\noptions edns0\n');
  assert.equal(
    resolvConf(host, { ipv6: true }),
    'nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch example.org lan\noptions edns0\n',
  );
});

test("resolv.conf: Docker's public resolvers when no other is left", () => {
  for (const host of ['', 'nameserver 127.0.0.53\n', 'nameserver ::1\nnameserver nonsense\n']) {
    assert.equal(resolvConf(host, { ipv6: false }), 'nameserver 8.8.8.8\nnameserver 8.8.4.4\n');
  }
  assert.match(resolvConf('', { ipv6: true }), /2001:4860:4860::8844\n$/);
});

test("resolv.conf: what the user set takes the place of the host's, kind by kind", () => {
  const host = 'nameserver 192.0.2.1\nsearch example.org\noptions edns0\n';
  const own = { servers: [], search: [], options: [] };
  assert.equal(resolvConf(host, { ipv6: false, own }), 'nameserver 192.0.2.1\nsearch example.org\noptions edns0\n');
  assert.equal(
    resolvConf(host, { ipv6: false, own: { servers: ['127.0.0.1'], search: ['lan', 'corp'], options: ['ndots:2'] } }),
    'nameserver 127.0.0.1\nsearch lan corp\noptions ndots:2\n',
  );
  assert.equal(resolvConf(host, { ipv6: false, own: { ...own, search: ['.'] } }), 'nameserver 192.0.2.1\noptions edns0\n');
  assert.equal(resolvConf('nameserver 127.0.0.53\n', { ipv6: false, loopback: true }), 'nameserver 127.0.0.53\n');
});
