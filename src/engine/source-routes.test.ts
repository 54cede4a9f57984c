import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Id } from '../base/ids.ts';
import { parseIfAddress, parseIp } from '../base/ip.ts';
import { describe } from '../contracts/describe.ts';
import { type SourceOffer, sourceRoutes } from './source-routes.ts';

const NETNS = '/run/moor/netns/s1';
const inside = `nsenter --net=${NETNS} `;

function offer(n: number, part: Partial<SourceOffer> = {}): SourceOffer {
  return {
    endpoint: {
      id: `${n}`.repeat(64) as Id,
      networkId: '' as Id,
      sandboxId: '' as Id,
      created: '',
      interfaceName: `eth${n}`,
      hostInterfaceName: '',
      mac: null,
      ipv4: parseIfAddress(`10.${n}.0.2/24`),
      ipv6: parseIfAddress(`fd00:${n}::2/64`),
      requested: {},
      aliases: [],
      gatewayPriority: 0,
      options: {},
    },
    gateway4: parseIp(`10.${n}.0.1`),
    gateway6: null,
    ...part,
  };
}

const chosen = { v4: { via: parseIp('10.0.0.1'), device: 'eth0' }, v6: null };

test('a sandbox with one way out has one table', () => {
  assert.deepEqual(sourceRoutes(NETNS, [offer(0)], chosen), []);
  assert.deepEqual(sourceRoutes(NETNS, [offer(0), offer(1, { gateway4: null })], chosen), []);
  assert.deepEqual(sourceRoutes(NETNS, [], { v4: null, v6: null }), []);
});

test('every other endpoint with a gateway sends by its own network, per family', () => {
  const six = { via: parseIp('fd00:2::1'), device: 'eth2' };
  const offers = [
    offer(0),
    offer(1, { gateway6: parseIp('fd00:1::1') }),
    offer(2, { gateway4: null, gateway6: parseIp('fd00:2::1') }),
  ];
  assert.deepEqual(sourceRoutes(NETNS, offers, { ...chosen, v6: six }).map(describe), [
    `${inside}ip rule add priority 32000 lookup 254 suppress_prefixlength 0`,
    `${inside}ip route add default via 10.1.0.1 dev eth1 table 286331153`,
    `${inside}ip rule add priority 32001 from 10.1.0.2/32 lookup 286331153`,
    `${inside}ip -6 rule add priority 32000 lookup 254 suppress_prefixlength 0`,
    `${inside}ip -6 route add default via fd00:1::1 dev eth1 table 286331153`,
    `${inside}ip -6 rule add priority 32001 from fd00:1::2/128 lookup 286331153`,
  ]);
});
