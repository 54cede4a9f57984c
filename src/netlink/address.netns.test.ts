import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IfAddress } from '../base/ip.ts';
import { addAddress, deleteAddress, dumpAddresses } from './address.ts';
import { failureOf, Lab, type LabNamespace } from './lab.testing.ts';
import { addLink, setLink } from './link.ts';

const V4 = '10.1.2.3/24' as IfAddress;
const V6 = 'fd00:1::5/64' as IfAddress;

/** Two links, up and with carrier. */
function withLinks(lab: Lab): LabNamespace {
  const host = lab.namespace('host');
  host.apply(
    addLink({ name: 'a', index: 11, up: true, kind: { type: 'veth', peer: { name: 'b', index: 12 } } }),
    setLink(12, { up: true }),
  );
  return host;
}

interface IpAddressShown {
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
  readonly protocol?: string;
  readonly nodad?: boolean;
  readonly noprefixroute?: boolean;
}
const shown = (host: LabNamespace, device: string): readonly IpAddressShown[] =>
  host.show(`ip -j addr show dev ${device}`).flatMap((item) => item['addr_info'] as IpAddressShown[]);

test('addresses are added and deleted as ip shows them', () => {
  using lab = new Lab();
  const host = withLinks(lab);
  host.apply(
    addAddress(11, V4, { device: 'a' }),
    addAddress(11, V6, { nodad: true }),
    addAddress(12, '10.9.0.1/32' as IfAddress, { noPrefixRoute: true }),
  );
  const a = shown(host, 'a').filter(({ scope }) => scope === 'global');
  assert.deepEqual(
    a.map(({ local, prefixlen, nodad }) => ({ local, prefixlen, nodad })),
    [
      { local: '10.1.2.3', prefixlen: 24, nodad: undefined },
      { local: 'fd00:1::5', prefixlen: 64, nodad: true },
    ],
  );
  assert.equal(shown(host, 'b')[0]?.noprefixroute, true);
  assert.deepEqual(
    host.show('ip -j route show dev a').map((route) => route['dst']),
    ['10.1.2.0/24'],
  );
  host.apply(deleteAddress(11, V4), deleteAddress(11, V6));
  assert.deepEqual(
    shown(host, 'a').filter(({ scope }) => scope === 'global'),
    [],
  );
});

test('a dump says the same as ip -j, and whose addresses they are', () => {
  using lab = new Lab();
  const host = withLinks(lab);
  host.apply(addAddress(11, V4), addAddress(11, V6, { nodad: true }), addAddress(12, '10.9.0.1/32' as IfAddress));
  const names: Readonly<Record<number, string>> = { 1: 'lo', 11: 'a', 12: 'b' };
  const fromIp = Object.entries(names).flatMap(([index, name]) =>
    shown(host, name).map(({ local, prefixlen, scope, protocol }) => ({
      index: Number(index),
      address: `${local}/${prefixlen}`,
      scope,
      kernel: protocol?.startsWith('kernel') ?? scope !== 'global',
    })),
  );
  const dumped = host.route
    .collect(dumpAddresses())
    .map(({ index, address, scope, kernel }) => ({ index, address, scope, kernel }));
  const order = (x: { index: number; address: string }, y: { index: number; address: string }): number =>
    x.index - y.index || (x.address < y.address ? -1 : 1);
  assert.deepEqual(dumped.toSorted(order), fromIp.toSorted(order));
  assert.ok(fromIp.some(({ address }) => address.startsWith('fe80::')));
  assert.deepEqual(
    host.route
      .collect(dumpAddresses({ index: 12 }))
      .filter(({ scope }) => scope === 'global')
      .map(({ address }) => address),
    ['10.9.0.1/32'],
  );
});

test('errors say what happened', () => {
  using lab = new Lab();
  const { route } = withLinks(lab);
  route.run(addAddress(11, V4));
  const twice = failureOf(route, addAddress(11, V4, { device: 'a' }));
  assert.equal(twice.kind, 'conflict');
  assert.equal(twice.kernel?.operation, 'ip addr add 10.1.2.3/24 dev a');
  assert.equal(failureOf(route, deleteAddress(12, V4)).kernel?.code, 'EADDRNOTAVAIL');
  assert.equal(failureOf(route, addAddress(99, V4)).kernel?.code, 'ENODEV');
});
