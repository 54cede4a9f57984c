import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoorError } from '../../base/errors.ts';
import type { IpAddress, Prefix } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import { readConfig } from './config.ts';
import { leaseKey, leaseText, readLease, readLeaseKey } from './lease.ts';

const prefix = (text: string): Prefix => text as Prefix;

/** As Go's encoding/json writes them: the first is the example of flannel's own documentation, Documentation/reservations.md. */
const WRITTEN = {
  vxlan:
    '{"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}',
  dual:
    '{"PublicIP":"192.168.64.3","PublicIPv6":"2001:db8::3","BackendType":"vxlan","BackendData":{"VNI":7,"VtepMAC":"c6:d2:32:6f:8f:44"},' +
    '"BackendV6Data":{"VNI":7,"VtepMAC":"c6:d2:32:6f:8f:46"}}',
  hostGw: '{"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"host-gw"}',
};

test('a lease is written byte for byte as flanneld writes it, and read back', () => {
  const vxlan = {
    publicIp: '192.168.64.3' as IpAddress,
    publicIpv6: null,
    backend: 'vxlan',
    vni: 1,
    mac4: 'c6:d2:32:6f:8f:44' as Mac,
    mac6: null,
  };
  const dual = { ...vxlan, publicIpv6: '2001:db8::3' as IpAddress, vni: 7, mac6: 'c6:d2:32:6f:8f:46' as Mac };
  const hostGw = { ...vxlan, backend: 'host-gw', mac4: null };
  for (const [text, lease] of [
    [WRITTEN.vxlan, vxlan],
    [WRITTEN.dual, dual],
    [WRITTEN.hostGw, hostGw],
  ] as const) {
    assert.equal(leaseText(lease), text);
    assert.deepEqual(readLease(text), lease);
  }
  // Of flannel before it had IPv6 and the VNI in leases.
  assert.deepEqual(readLease('{"PublicIP":"10.37.7.195","BackendType":"vxlan","BackendData":{"VtepMAC":"82:4b:b6:2f:54:4e"}}'), {
    ...vxlan,
    publicIp: '10.37.7.195',
    mac4: '82:4b:b6:2f:54:4e',
  });
  assert.deepEqual(
    readLease('{"PublicIP":"10.37.7.195","PublicIPv6":null,"BackendType":"udp","BackendData":null}').backend,
    'udp',
  );
});

test('keys', () => {
  assert.equal(leaseKey([prefix('10.244.1.0/24')]), 'subnets/10.244.1.0-24');
  assert.equal(leaseKey([prefix('10.244.1.0/24'), prefix('fd00:1::/64')]), 'subnets/10.244.1.0-24&fd00:1::-64');
  assert.deepEqual(readLeaseKey('subnets/10.244.1.0-24&fd00:1::-64'), ['10.244.1.0/24', 'fd00:1::/64']);
  for (const key of [
    'subnets/',
    'subnets/10.244.1.0',
    'subnets/10.244.1.1-24',
    'subnets/fd00::-64',
    'subnets/10.244.1.0-24&10.244.2.0-24',
    'x/10.244.1.0-24',
    'subnets/10.244.1.0-24/x',
    'subnets/010.244.1.0-24',
  ])
    assert.throws(() => readLeaseKey(key), MoorError, key);
});

test('a config is read as flanneld reads it', () => {
  const spaces = (text: string): unknown =>
    readConfig(text).spaces.map(({ range, length, min, max }) => [range, length, min, max]);
  assert.deepEqual(readConfig('{"Network":"10.0.0.0/8"}').backend, 'udp');
  assert.deepEqual(spaces('{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}'), [
    ['10.244.0.0/16', 24, 0x0af40100n, 0x0af4ff00n],
  ]);
  assert.deepEqual(
    spaces(
      '{ "network": "10.0.0.0/8", "SubnetLen": 20, "SubnetMin": "10.10.0.0", "SubnetMax": "10.99.0.0", "Backend": {"Type": "udp", "Port": 7890} }',
    ),
    [['10.0.0.0/8', 20, 0x0a0a0000n, 0x0a630000n]],
  );
  assert.deepEqual(spaces('{"Network":"192.168.0.0/23"}'), [['192.168.0.0/23', 25, 0xc0a80080n, 0xc0a80180n]]);
  const dual = readConfig(
    '{"Network":"10.244.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48","IPv6SubnetLen":64,"Backend":{"Type":"vxlan","VNI":7}}',
  );
  assert.equal(dual.vni, 7);
  assert.deepEqual(
    dual.spaces.map(({ range, length }) => [range, length]),
    [
      ['10.244.0.0/16', 24],
      ['fd00::/48', 64],
    ],
  );
  for (const bad of [
    '',
    '{}',
    '{"Network":7}',
    '{"Network":"10.244.0.0/29"}',
    '{"Network":"10.0.0.0/16","SubnetLen":17}',
    '{"Network":"10.0.0.0/8","SubnetMin":"11.0.0.0"}',
    '{"Network":"10.0.0.0/8","SubnetMin":"10.0.0.1"}',
    '{"Network":"10.0.0.0/8","EnableIPv4":false}',
    '{"Network":"10.0.0.0/8","Backend":7}',
  ])
    assert.throws(() => readConfig(bad), MoorError, bad);
});

test('mutated leases and configs are read or refused, and nothing else', () => {
  const edits = fc.array(fc.tuple(fc.nat({ max: 240 }), fc.nat({ max: 9 }), fc.string({ maxLength: 5, unit: 'binary' })), {
    minLength: 1,
    maxLength: 3,
  });
  const config =
    '{"Network":"10.244.0.0/16","SubnetLen":24,"SubnetMin":"10.244.10.0","SubnetMax":"10.244.99.0","Backend":{"Type":"vxlan","VNI":1}}';
  fc.assert(
    fc.property(fc.constantFrom(...Object.values(WRITTEN), config), edits, (text, changes) => {
      const mutated = changes.reduce((now, [at, cut, put]) => now.slice(0, at) + put + now.slice(at + cut), text);
      for (const read of [readLease, readConfig]) {
        try {
          read(mutated);
        } catch (error) {
          assert.ok(error instanceof MoorError && error.kind === 'invalid', `${String(error)}: ${mutated}`);
        }
      }
    }),
    { numRuns: 3_000, seed: 7 },
  );
});
