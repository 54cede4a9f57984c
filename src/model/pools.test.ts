import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoorError } from '../base/errors.ts';
import type { PoolRequest } from './network.ts';
import { checkPoolRequests, type Families } from './pools.ts';

const V4: Families = { ipv4: true, ipv6: false };
const BOTH: Families = { ipv4: true, ipv6: true };

function faults(requests: readonly PoolRequest[], families: Families = V4): string[] {
  try {
    checkPoolRequests(requests, families);
  } catch (error) {
    assert.ok(error instanceof MoorError && error.kind === 'invalid', String(error));
    const [head, ...lines] = error.message.split('\n');
    assert.equal(head, 'invalid network config:');
    return lines.length === 1 ? lines : lines.map((line) => line.replace(/^\* /, ''));
  }
  return [];
}

test('a full request becomes values', () => {
  const request = {
    subnet: '192.168.7.0/24',
    range: '192.168.7.128/25',
    gateway: '192.168.7.1',
    auxiliary: { router: '192.168.7.2', printer: '192.168.7.200' },
  };
  assert.deepEqual(checkPoolRequests([request], V4), [{ family: 4, ...request }]);
});

test('a family that is enabled and not asked for gets any subnet', () => {
  assert.deepEqual(checkPoolRequests([], V4), [{ family: 4, auxiliary: {} }]);
  assert.deepEqual(checkPoolRequests([], BOTH), [
    { family: 4, auxiliary: {} },
    { family: 6, auxiliary: {} },
  ]);
  assert.deepEqual(checkPoolRequests([{}], { ipv4: false, ipv6: true }), [{ family: 6, auxiliary: {} }]);
  assert.deepEqual(checkPoolRequests([{ subnet: '', gateway: '', range: '' }], V4), [{ family: 4, auxiliary: {} }]);
  assert.deepEqual(
    checkPoolRequests([{ subnet: 'fd00:7::/64' }, { subnet: '10.1.0.0/24' }, { subnet: '10.2.0.0/24' }], BOTH).map(
      ({ subnet }) => subnet,
    ),
    ['fd00:7::/64', '10.1.0.0/24', '10.2.0.0/24'],
  );
});

test('a bare length asks for any subnet of it', () => {
  assert.deepEqual(checkPoolRequests([{ subnet: '0.0.0.0/24' }], V4), [{ family: 4, length: 24, auxiliary: {} }]);
  assert.deepEqual(checkPoolRequests([{ subnet: '::/64' }], { ipv4: false, ipv6: true }), [
    { family: 6, length: 64, auxiliary: {} },
  ]);
  assert.deepEqual(faults([{ subnet: '0.0.0.0/24', gateway: '10.0.0.1', range: '10.0.0.0/25', auxiliary: { a: '10.0.0.2' } }]), [
    'invalid ip-range 10.0.0.0/25: it needs a subnet in full, not 0.0.0.0/24',
    'invalid gateway 10.0.0.1: it needs a subnet in full, not 0.0.0.0/24',
    'invalid auxiliary address a: it needs a subnet in full, not 0.0.0.0/24',
  ]);
  assert.deepEqual(faults([{ subnet: '0.0.0.0/24' }, { subnet: '0.0.0.0/25' }]), [
    'invalid subnet: any free IPv4 subnet can be asked for only once',
  ]);
});

test('IPv6 requests are dropped without IPv6, as in Docker; IPv4 ones are refused without IPv4', () => {
  assert.deepEqual(checkPoolRequests([{ subnet: 'fd00::1/64', gateway: 'nonsense' }], V4), [{ family: 4, auxiliary: {} }]);
  assert.deepEqual(faults([{ subnet: '10.0.0.0/24' }], { ipv4: false, ipv6: true }), [
    'invalid subnet 10.0.0.0/24: IPv4 is disabled for this network',
  ]);
  assert.throws(() => checkPoolRequests([], { ipv4: false, ipv6: false }), /^MoorError: IPv4 or IPv6 must be enabled$/);
});

/** The texts are those of moby's validateIpamConfig where it has one. */
const BAD: readonly (readonly [PoolRequest, ...string[]])[] = [
  [{ subnet: 'foobar' }, 'invalid subnet foobar: invalid CIDR block notation'],
  [{ subnet: '192.168.7.0' }, 'invalid subnet 192.168.7.0: invalid CIDR block notation'],
  [{ subnet: '192.168.7.0/33' }, 'invalid subnet 192.168.7.0/33: invalid CIDR block notation'],
  [{ subnet: '192.168.7.0/-1' }, 'invalid subnet 192.168.7.0/-1: invalid CIDR block notation'],
  [{ subnet: '192.168.007.0/24' }, 'invalid subnet 192.168.007.0/24: invalid CIDR block notation'],
  [{ subnet: 'fd00::/129' }, 'invalid subnet fd00::/129: invalid CIDR block notation'],
  [{ subnet: `10.0.0.0/${'2'.repeat(5000)}` }, `invalid subnet 10.0.0.0/${'2'.repeat(55)}...: invalid CIDR block notation`],
  [{ subnet: '192.168.7.1/24' }, 'invalid subnet 192.168.7.1/24: it should be 192.168.7.0/24'],
  [{ subnet: 'FD00:7:0::1/64' }, 'invalid subnet fd00:7::1/64: it should be fd00:7::/64'],
  [{ subnet: '0.0.0.0/0' }, 'invalid subnet 0.0.0.0/0: addresses of 0.0.0.0/8 mean "this network"'],
  [{ subnet: '127.1.0.0/16' }, 'invalid subnet 127.1.0.0/16: addresses of 127.0.0.0/8 do not leave a host'],
  [{ subnet: '224.1.0.0/16' }, 'invalid subnet 224.1.0.0/16: addresses of 224.0.0.0/4 are multicast'],
  [{ subnet: 'ff05::/64' }, 'invalid subnet ff05::/64: addresses of ff00::/8 are multicast'],
  [{ subnet: '::ffff:10.0.0.0/120' }, 'invalid subnet ::ffff:10.0.0.0/120: it is made of IPv4-mapped addresses'],
  [{ subnet: '10.0.0.0/24', range: 'foobar' }, 'invalid ip-range foobar: invalid CIDR block notation'],
  [{ subnet: '10.0.0.0/24', range: 'fd00::/64' }, 'invalid ip-range fd00::/64: parent subnet is an IPv4 block'],
  [
    { subnet: '10.10.10.0/24', range: '10.0.0.0/8' },
    'invalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.10.10.0/24',
  ],
  [{ subnet: '10.0.0.0/8', range: '10.10.10.0/16' }, 'invalid ip-range 10.10.10.0/16: it should be 10.10.0.0/16'],
  [
    { subnet: '10.0.0.0/8', range: '192.168.0.1/24' },
    'invalid ip-range 192.168.0.1/24: it should be 192.168.0.0/24',
    "invalid ip-range 192.168.0.1/24: parent subnet 10.0.0.0/8 doesn't contain ip-range",
  ],
  [{ subnet: '10.0.0.0/24', gateway: '1001.10.5.3' }, 'invalid gateway 1001.10.5.3: invalid address'],
  [{ subnet: '10.0.0.0/24', gateway: '10.0.0.1/24' }, 'invalid gateway 10.0.0.1/24: invalid address'],
  [
    { subnet: '10.0.0.0/24', gateway: '10.0.1.1' },
    "invalid gateway 10.0.1.1: parent subnet 10.0.0.0/24 doesn't contain this address",
  ],
  [{ subnet: '10.0.0.0/24', gateway: 'fd00::1' }, 'invalid gateway fd00::1: parent subnet is an IPv4 block'],
  [{ subnet: 'fd00::/64', gateway: '10.0.0.1' }, 'invalid gateway 10.0.0.1: parent subnet is an IPv6 block'],
  [{ subnet: '10.0.0.0/24', gateway: '10.0.0.0' }, 'invalid gateway 10.0.0.0: 10.0.0.0 is the network address of 10.0.0.0/24'],
  [
    { subnet: '10.0.0.0/24', gateway: '10.0.0.255' },
    'invalid gateway 10.0.0.255: 10.0.0.255 is the broadcast address of 10.0.0.0/24',
  ],
  [
    { subnet: 'fd00::/64', gateway: 'fd00::' },
    'invalid gateway fd00::: fd00:: is the subnet-router anycast address of fd00::/64',
  ],
  [{ gateway: '10.0.0.1' }, 'invalid gateway 10.0.0.1: it needs a subnet'],
  [{ range: '10.0.0.0/24' }, 'invalid ip-range 10.0.0.0/24: it needs a subnet'],
  [{ auxiliary: { a: '10.0.0.1' } }, 'invalid auxiliary address a: it needs a subnet'],
  [{ subnet: '10.0.0.0/24', auxiliary: { a: 'dummy' } }, 'invalid auxiliary address a: invalid address'],
  [
    { subnet: '10.0.0.0/24', auxiliary: { a: '10.0.1.1' } },
    "invalid auxiliary address a: parent subnet 10.0.0.0/24 doesn't contain this address",
  ],
  [{ subnet: '10.0.0.0/24', auxiliary: { a: 'fd00::1' } }, 'invalid auxiliary address a: parent subnet is an IPv4 block'],
  [
    { subnet: '10.0.0.0/24', gateway: '10.0.0.1', auxiliary: { a: '10.0.0.1' } },
    'invalid auxiliary address a: 10.0.0.1 is the gateway already',
  ],
  [
    { subnet: 'fd00::/64', auxiliary: { a: 'fd00::5', b: 'fd00:0::5' } },
    'invalid auxiliary address b: fd00::5 is the auxiliary address a already',
  ],
];

for (const [request, ...expected] of BAD) {
  test(`refused: ${JSON.stringify(request).slice(0, 100)}`, () => assert.deepEqual(faults([request], BOTH), expected));
}

test('all faults of all requests are told at once', () => {
  assert.deepEqual(faults([{ subnet: '10.0.0.1/24', gateway: '10.0.1.1' }, { subnet: 'x' }]), [
    'invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24',
    "invalid gateway 10.0.1.1: parent subnet 10.0.0.0/24 doesn't contain this address",
    'invalid subnet x: invalid CIDR block notation',
  ]);
});

test('subnets of one request must not overlap', () => {
  assert.deepEqual(faults([{ subnet: '10.0.0.0/16' }, { subnet: 'fd00::/64' }, { subnet: '10.0.1.0/24' }], BOTH), [
    'invalid subnet 10.0.1.0/24: Pool overlaps with other one on this address space: 10.0.0.0/16 of this network',
  ]);
});

test('names of auxiliary addresses are data, whatever they are', () => {
  const auxiliary = JSON.parse('{"__proto__":"10.0.0.9","constructor":"10.0.0.8"}') as Record<string, string>;
  const [pool] = checkPoolRequests([{ subnet: '10.0.0.0/24', auxiliary }], V4);
  assert.deepEqual(Object.entries(pool?.auxiliary ?? {}), [
    ['__proto__', '10.0.0.9'],
    ['constructor', '10.0.0.8'],
  ]);
});
