import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolvConf } from './files.ts';

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
