/** What every IPAM driver must do, the built-in one and, later, plugins. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoorError, type ErrorKind } from '../../src/base/errors.ts';
import {
  addressOf,
  type Family,
  familyOf,
  type IpAddress,
  lengthOf,
  type Prefix,
  prefixContains,
  prefixesOverlap,
} from '../../src/base/ip.ts';
import type { IpamDriver, PoolWish } from '../../src/contracts/ipam.ts';

export interface IpamSuite {
  readonly name: string;
  /** One with nothing in use. It has automatic pools of both families, and of /24 and /64. */
  readonly open: () => IpamDriver;
}

const prefix = (text: string): Prefix => text as Prefix;
const ip = (text: string): IpAddress => text as IpAddress;

function wish(owner: string, more: Partial<PoolWish> & { readonly family?: Family } = {}): PoolWish {
  return { family: 4, avoid: [], owner, ...more };
}

async function rejects(kind: ErrorKind, what: Promise<unknown>, text: RegExp): Promise<void> {
  await assert.rejects(what, (error: unknown) => {
    assert.ok(error instanceof MoorError, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, text);
    return true;
  });
}

export function ipamConformance(suite: IpamSuite): void {
  const check = (title: string, body: (ipam: IpamDriver) => Promise<void>): void =>
    void test(`${suite.name}: ${title}`, () => body(suite.open()));

  check('automatic pools are disjoint and clear of the routes of the host', async (ipam) => {
    for (const family of [4, 6] as const) {
      const probe = await ipam.requestPool(wish('probe', { family }));
      await ipam.releasePool(probe, 'probe');
      const avoid = [probe, prefix('172.28.0.0/14')];
      const pools: Prefix[] = [];
      for (let i = 0; i < 40; i++) pools.push(await ipam.requestPool(wish(`n${i}`, { family, avoid })));
      for (const [i, pool] of pools.entries()) {
        assert.equal(familyOf(pool), family);
        assert.ok(!avoid.some((route) => prefixesOverlap(route, pool)), pool);
        assert.ok(!pools.slice(0, i).some((other) => prefixesOverlap(other, pool)), pool);
      }
    }
  });

  check('default routes and their halves are no routes to keep clear of', async (ipam) => {
    const avoid = ['0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1', '::/0', '::/1', '8000::/1'].map(prefix);
    for (const family of [4, 6] as const) assert.equal(familyOf(await ipam.requestPool(wish('n', { family, avoid }))), family);
  });

  check('a wished subnet is given, and no second time, whatever the size of the second', async (ipam) => {
    assert.equal(await ipam.requestPool(wish('a (1)', { subnet: prefix('192.168.7.0/24') })), '192.168.7.0/24');
    for (const subnet of ['192.168.7.0/24', '192.168.7.128/25', '192.168.0.0/16', '192.168.7.9/32']) {
      const request = ipam.requestPool(wish('b (2)', { subnet: prefix(subnet) }));
      await rejects('conflict', request, /Pool overlaps with other one on this address space.*a \(1\)/);
    }
    assert.equal(await ipam.requestPool(wish('b (2)', { subnet: prefix('192.168.8.0/24') })), '192.168.8.0/24');
    assert.equal(await ipam.requestPool(wish('b (2)', { family: 6, subnet: prefix('fd07::/64') })), 'fd07::/64');
  });

  check('automatic pools keep clear of wished ones of any size', async (ipam) => {
    const probe = await ipam.requestPool(wish('probe'));
    await ipam.releasePool(probe, 'probe');
    const wished = [prefix(`${addressOf(probe)}/30`), prefix('192.168.0.0/16')];
    for (const subnet of wished) await ipam.requestPool(wish(`wished ${subnet}`, { subnet }));
    for (let i = 0; i < 40; i++) {
      const pool = await ipam.requestPool(wish(`n${i}`));
      assert.ok(!wished.some((subnet) => prefixesOverlap(subnet, pool)), pool);
    }
  });

  check('a wished subnet may lie on a route of the host', async (ipam) => {
    const request = wish('a', { subnet: prefix('10.1.0.0/24'), avoid: [prefix('10.0.0.0/8')] });
    assert.equal(await ipam.requestPool(request), '10.1.0.0/24');
  });

  check('an owner that asks again gets the same pool', async (ipam) => {
    const first = await ipam.requestPool(wish('a'));
    assert.equal(await ipam.requestPool(wish('a')), first);
    assert.notEqual(await ipam.requestPool(wish('b')), first);
    const named = wish('a', { subnet: prefix('10.9.0.0/24') });
    assert.equal(await ipam.requestPool(named), await ipam.requestPool(named));
    await ipam.releasePool(first, 'a');
    await ipam.requestPool(wish('c', { subnet: first }));
    const again = await ipam.requestPool(wish('a'));
    assert.ok(!prefixesOverlap(again, first), 'what was released is not remembered');
  });

  check('a length gives a free subnet of that length', async (ipam) => {
    for (const length of [24, 20, 26, 30]) {
      const pools = [
        await ipam.requestPool(wish(`a${length}`, { length })),
        await ipam.requestPool(wish(`b${length}`, { length })),
      ];
      assert.ok(pools.every((pool) => lengthOf(pool) === length));
      assert.ok(!prefixesOverlap(pools[0] ?? prefix(''), pools[1] ?? prefix('')));
    }
    assert.equal(lengthOf(await ipam.requestPool(wish('c', { family: 6, length: 72 }))), 72);
    for (const length of [0, 33, -1, 1.5])
      await rejects('invalid', ipam.requestPool(wish('d', { length })), /invalid address pool/);
    await rejects('invalid', ipam.requestPool(wish('d', { length: 2 })), /\/2/);
  });

  check('a range must be inside its subnet', async (ipam) => {
    await rejects('invalid', ipam.requestPool(wish('a', { range: prefix('10.0.0.0/24') })), /subpool/);
    for (const range of ['10.1.0.0/24', '10.0.0.0/8', 'fd00::/64']) {
      await rejects('invalid', ipam.requestPool(wish('a', { subnet: prefix('10.0.0.0/16'), range: prefix(range) })), /subpool/);
    }
    await rejects('invalid', ipam.requestPool(wish('a', { family: 6, subnet: prefix('10.0.0.0/16') })), /IPv6/);
    assert.deepEqual(ipam.usage(), []);
  });

  check('a released pool is free with all its addresses; releasing again, or as another owner, does nothing', async (ipam) => {
    const subnet = prefix('10.0.0.0/29');
    await ipam.requestPool(wish('a', { subnet }));
    for (let i = 0; i < 6; i++) await ipam.requestAddress({ subnet, owner: `e${i}` });
    await ipam.releasePool(subnet, 'b');
    await rejects('conflict', ipam.requestPool(wish('b', { subnet })), /overlaps/);
    await ipam.releasePool(subnet, 'a');
    await ipam.releasePool(subnet, 'a');
    await rejects('not-found', ipam.requestAddress({ subnet, owner: 'e' }), /10\.0\.0\.0\/29/);
    await ipam.releaseAddress(subnet, ip('10.0.0.1'));
    await ipam.requestPool(wish('b', { subnet }));
    await ipam.releasePool(subnet, 'a');
    assert.deepEqual(ipam.usage(), [{ subnet, owner: 'b', used: 0n, size: 6n }]);
  });

  check('every usable address is given once; then the error names the network and holders', async (ipam) => {
    const subnet = prefix('10.0.0.0/28');
    await ipam.requestPool(wish('my_net (3cf)', { subnet }));
    await ipam.requestAddress({ subnet, address: ip('10.0.0.1'), owner: 'gateway' });
    const given: IpAddress[] = [];
    for (let i = 0; i < 13; i++) given.push(await ipam.requestAddress({ subnet, owner: `e${i}` }));
    assert.equal(new Set(given).size, 13);
    assert.ok(
      given.every((address) => prefixContains(subnet, address) && !['10.0.0.0', '10.0.0.1', '10.0.0.15'].includes(address)),
    );
    const request = ipam.requestAddress({ subnet, owner: 'late' });
    await rejects('exhausted', request, /no available IPv4 addresses on this network's address pools: my_net \(3cf\).*gateway/);
    await ipam.releaseAddress(subnet, given[5] ?? ip(''));
    assert.equal(await ipam.requestAddress({ subnet, owner: 'late' }), given[5]);
    assert.deepEqual(ipam.usage(), [{ subnet, owner: 'my_net (3cf)', used: 14n, size: 14n }]);
  });

  check('an address is given once, and again only to its owner', async (ipam) => {
    const subnet = prefix('fd00:7::/64');
    await ipam.requestPool(wish('a', { family: 6, subnet }));
    const request = { subnet, address: ip('fd00:7::ff'), owner: 'e1' };
    assert.equal(await ipam.requestAddress(request), 'fd00:7::ff');
    assert.equal(await ipam.requestAddress(request), 'fd00:7::ff');
    assert.equal(await ipam.requestAddress({ subnet, owner: 'e1' }), 'fd00:7::ff');
    await rejects('conflict', ipam.requestAddress({ ...request, owner: 'e2' }), /Address already in use.*e1/);
    await rejects('invalid', ipam.requestAddress({ subnet, address: ip('fd00:8::1'), owner: 'e2' }), /out of range/);
    await rejects('invalid', ipam.requestAddress({ subnet, address: ip('fd00:7::'), owner: 'e2' }), /anycast/);
    await ipam.releaseAddress(subnet, request.address);
    await ipam.releaseAddress(subnet, request.address);
    assert.equal(await ipam.requestAddress({ ...request, owner: 'e2' }), 'fd00:7::ff');
  });

  check('no address is reused while another is free', async (ipam) => {
    const subnet = prefix('10.0.0.0/24');
    await ipam.requestPool(wish('a', { subnet }));
    const seen = new Set<IpAddress>();
    for (let i = 0; i < 254; i++) {
      const address = await ipam.requestAddress({ subnet, owner: `e${i}` });
      assert.ok(!seen.has(address), address);
      seen.add(address);
      await ipam.releaseAddress(subnet, address);
    }
    assert.equal(await ipam.requestAddress({ subnet, owner: 'again' }), [...seen][0]);
  });

  check('an address that is given back unused is the next one again, one that was in use is not', async (ipam) => {
    for (const family of [4, 6] as const) {
      const subnet = await ipam.requestPool(wish('a', { family }));
      const tried = await ipam.requestAddress({ subnet, owner: 'tried' });
      await ipam.releaseAddress(subnet, tried, { unused: true });
      await ipam.releaseAddress(subnet, tried, { unused: true });
      assert.equal(await ipam.requestAddress({ subnet, owner: 'e' }), tried);
      await ipam.releaseAddress(subnet, tried);
      assert.notEqual(await ipam.requestAddress({ subnet, owner: 'e' }), tried);
    }
  });
}
