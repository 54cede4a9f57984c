import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIp, ipBytes, lengthOf, parseIp, parsePrefix, prefixContains, prefixOf } from '../../base/ip.ts';
import type { TunnelPeer } from '../../contracts/tunnel.ts';
import { PeerTable } from './peers.ts';

const address = (family: 4 | 6): fc.Arbitrary<ReturnType<typeof parseIp>> =>
  // Few bits that differ, so that prefixes cover each other and addresses fall into them.
  fc
    .bigInt({ min: 0n, max: 0xfffn })
    .map((bits) => formatIp(family, family === 4 ? (10n << 24n) | (bits << 8n) : (0xfdn << 120n) | (bits << 60n)));

const peers = (family: 4 | 6): fc.Arbitrary<readonly TunnelPeer[]> =>
  fc
    .uniqueArray(
      fc.tuple(address(family), fc.integer({ min: 0, max: family === 4 ? 32 : 128 })).map(([ip, length]) => prefixOf(ip, length)),
      { maxLength: 20 },
    )
    .map((subnets) =>
      subnets.map((subnet, i) => ({
        name: `p${i}`,
        endpoint: { address: parseIp(`192.0.2.${i + 1}`), port: 8285 },
        subnets: [subnet],
        own: true,
      })),
    );

const view = (ip: ReturnType<typeof parseIp>): DataView => {
  const bytes = ipBytes(ip);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
};

for (const family of [4, 6] as const) {
  test(`the longest prefix wins, IPv${family}`, () => {
    fc.assert(
      fc.property(peers(family), fc.array(address(family), { minLength: 1, maxLength: 30 }), (list, asked) => {
        const table = new PeerTable(list);
        for (const ip of [...asked, ...asked.toReversed()]) {
          const fits = list
            .map((peer, index) => ({ index, subnet: peer.subnets[0] ?? parsePrefix('0.0.0.0/0') }))
            .filter(({ subnet }) => prefixContains(subnet, ip))
            .sort((a, b) => lengthOf(b.subnet) - lengthOf(a.subnet));
          const found = family === 4 ? table.inner4(view(ip), 0) : table.inner6(view(ip), 0);
          assert.equal(found, fits[0]?.index ?? -1);
        }
      }),
    );
  });
}

test('a slot without a peer has no addresses, and outer addresses are looked up whole', () => {
  const one: TunnelPeer = {
    name: 'a',
    endpoint: { address: parseIp('2001:db8::1'), port: 8285 },
    subnets: [parsePrefix('10.1.0.0/16')],
    own: false,
  };
  const table = new PeerTable([null, one]);
  assert.equal(table.inner4(view(parseIp('10.1.2.3')), 0), 1);
  assert.equal(table.inner4(view(parseIp('10.2.2.3')), 0), -1);
  assert.equal(table.outer(view(parseIp('2001:db8::1')), 0, true), 1);
  assert.equal(table.outer(view(parseIp('2001:db8::2')), 0, true), -1);
  assert.equal(table.outer(view(parseIp('2001:db8::1')), 0, true), 1);
  assert.equal(table.outer(view(parseIp('192.0.2.1')), 0, false), -1);
});

test('who was asked for before does not answer for somebody else', () => {
  const list: TunnelPeer[] = ['192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8:1::1'].map((address) => ({
    name: address,
    endpoint: { address: parseIp(address), port: 8285 },
    subnets: [],
    own: true,
  }));
  const table = new PeerTable(list);
  fc.assert(
    fc.property(fc.array(fc.constantFrom('192.0.2.3', '2001:db8::2', ...list.map(({ name }) => name))), (asked) => {
      for (const ip of asked) {
        const expected = list.findIndex(({ name }) => name === ip);
        assert.equal(table.outer(view(parseIp(ip)), 0, ip.includes(':')), expected);
      }
    }),
  );
});
