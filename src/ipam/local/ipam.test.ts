import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoorError } from '../../base/errors.ts';
import { parseIp, type Prefix, prefixesOverlap } from '../../base/ip.ts';
import type { IpamDriver, PoolWish } from '../../contracts/ipam.ts';
import { ulaPool } from './defaults.ts';
import { createLocalIpam, DEFAULT_POOLS } from './ipam.ts';

const prefix = (text: string): Prefix => text as Prefix;
const local = (): IpamDriver => createLocalIpam({ pools: DEFAULT_POOLS, hostId: 'test' });
const any = (owner: string, more: Partial<PoolWish> = {}): PoolWish => ({ family: 4, avoid: [], owner, ...more });

async function take(ipam: IpamDriver, count: number, more: Partial<PoolWish> = {}): Promise<Prefix[]> {
  const pools: Prefix[] = [];
  for (let i = 0; i < count; i++) pools.push(await ipam.requestPool(any(`n${i}`, more)));
  return pools;
}

test("Docker's 31 pools in Docker's order, then thousands of /24", async () => {
  const ipam = local();
  const pools = await take(ipam, 31 + 3_840);
  const docker = [
    ...Array.from({ length: 15 }, (_, i) => `172.${17 + i}.0.0/16`),
    ...Array.from({ length: 16 }, (_, i) => `192.168.${16 * i}.0/20`),
  ];
  assert.deepEqual(pools.slice(0, 31), docker);
  assert.deepEqual(
    pools.slice(31),
    Array.from({ length: 3_840 }, (_, i) => `10.${225 + Math.floor(i / 256)}.${i % 256}.0/24`),
  );
  await assert.rejects(ipam.requestPool(any('one more', { avoid: [prefix('10.200.0.0/16')] })), (error) => {
    assert.ok(error instanceof MoorError && error.kind === 'exhausted');
    assert.equal(
      error.message,
      'all predefined address pools have been fully subnetted: 172.17.0.0/16 n0, 172.18.0.0/16 n1, 172.19.0.0/16 n2, 172.20.0.0/16 n3 ' +
        'and 3867 more networks; kept free for routes of this host: 10.200.0.0/16',
    );
    return true;
  });
  // Freed ones come again, the lowest first.
  for (const i of [2_000, 7, 20]) await ipam.releasePool(pools[i] ?? prefix(''), `n${i}`);
  assert.deepEqual(
    [await ipam.requestPool(any('x')), await ipam.requestPool(any('y')), await ipam.requestPool(any('z'))],
    [pools[7], pools[20], pools[2_000]],
  );
});

test('a full range names what is in it, not what the rest of the subnet holds', async () => {
  const ipam = local();
  const subnet = await ipam.requestPool({
    family: 4,
    owner: 'net',
    avoid: [],
    subnet: prefix('10.0.0.0/24'),
    range: prefix('10.0.0.8/31'),
  });
  await ipam.requestAddress({ subnet, address: parseIp('10.0.0.1'), owner: 'gateway' });
  for (const owner of ['a', 'b']) await ipam.requestAddress({ subnet, owner });
  await assert.rejects(ipam.requestAddress({ subnet, owner: 'c' }), {
    kind: 'exhausted',
    message:
      "no available IPv4 addresses on this network's address pools: net: all 2 of 10.0.0.8/31 are in use: 10.0.0.8 a, 10.0.0.9 b",
  });
  const narrow = { family: 4, owner: 'narrow', avoid: [], subnet: prefix('10.0.1.0/24'), range: prefix('10.0.1.0/32') } as const;
  await ipam.requestPool(narrow);
  await assert.rejects(ipam.requestAddress({ subnet: narrow.subnet, owner: 'a' }), {
    kind: 'exhausted',
    message:
      "no available IPv4 addresses on this network's address pools: narrow: 10.0.1.0/32 has none that an endpoint may have",
  });
});

test('routes of the host are stepped over, wherever they begin and end', async () => {
  const avoid = ['172.17.0.0/16', '172.18.4.0/22', '172.20.0.0/14', '172.24.9.9/32', '192.168.0.0/17', '192.168.0.0/24'].map(
    prefix,
  );
  assert.deepEqual(await take(local(), 9, { avoid }), [
    '172.19.0.0/16',
    '172.25.0.0/16',
    '172.26.0.0/16',
    '172.27.0.0/16',
    '172.28.0.0/16',
    '172.29.0.0/16',
    '172.30.0.0/16',
    '172.31.0.0/16',
    '192.168.128.0/20',
  ]);
  const nothing = local().requestPool(
    any('n', { avoid: [prefix('172.16.0.0/12'), prefix('192.168.0.0/16'), prefix('10.0.0.0/8')] }),
  );
  await assert.rejects(
    nothing,
    /fully subnetted: no network holds one; kept free for routes of this host: 172.16.0.0\/12, 192.168.0.0\/16, 10.0.0.0\/8/,
  );
});

test('a bare length comes out of the pools in order, larger or smaller than their own', async () => {
  const ipam = local();
  assert.equal(await ipam.requestPool(any('bridge')), '172.17.0.0/16');
  assert.equal(await ipam.requestPool(any('a', { length: 24 })), '172.18.0.0/24');
  assert.equal(await ipam.requestPool(any('b', { length: 24 })), '172.18.1.0/24');
  assert.equal(await ipam.requestPool(any('c', { length: 15 })), '172.20.0.0/15');
  assert.equal(await ipam.requestPool(any('d', { length: 13 })), '10.232.0.0/13');
  assert.equal(await ipam.requestPool(any('e')), '172.19.0.0/16');
  await assert.rejects(ipam.requestPool(any('f', { length: 12 })), /no default address pool has room for a \/12/);
});

test('configured pools replace those of their family', async () => {
  const ipam = createLocalIpam({
    pools: [
      { base: prefix('10.50.0.0/22'), size: 24 },
      { base: prefix('fd12::/56'), size: 64 },
    ],
  });
  assert.deepEqual(await take(ipam, 4), ['10.50.0.0/24', '10.50.1.0/24', '10.50.2.0/24', '10.50.3.0/24']);
  await assert.rejects(ipam.requestPool(any('more')), /fully subnetted/);
  assert.deepEqual(await take(ipam, 2, { family: 6 }), ['fd12::/64', 'fd12:0:0:1::/64']);
  for (const size of [21, 33, 23.5]) {
    assert.throws(() => createLocalIpam({ pools: [{ base: prefix('10.50.0.0/22'), size }] }), /10.50.0.0\/22/);
  }
});

test('IPv6 subnets are /64 of a /48 that is stable for a host and differs between hosts', async () => {
  const pools = await take(local(), 300, { family: 6 });
  const [first = ''] = pools;
  assert.match(first, /^fd[0-9a-f]{2}:[0-9a-f]{1,4}:[0-9a-f]{1,4}::\/64$/);
  assert.equal(pools[1], first.replace('::/64', ':1::/64'));
  assert.equal(pools[299], first.replace('::/64', ':12b::/64'));
  assert.deepEqual(await take(local(), 1, { family: 6 }), [first]);
  const hosts = new Set(Array.from({ length: 1_000 }, (_, i) => ulaPool(`host ${i}`).base));
  assert.equal(hosts.size, 1_000);
  // Without a host id: the machine's own, the same every time.
  const machine = async (): Promise<Prefix> => createLocalIpam({ pools: [] }).requestPool(any('n', { family: 6 }));
  assert.equal(await machine(), await machine());
});

test('any mix of networks and routes: no overlap, and lower pools first', async () => {
  const pools = [
    { base: prefix('10.0.0.0/27'), size: 29 },
    { base: prefix('10.0.1.0/28'), size: 30 },
  ];
  const candidates = [0, 8, 16, 24]
    .map((i) => prefix(`10.0.0.${i}/29`))
    .concat([0, 4, 8, 12].map((i) => prefix(`10.0.1.${i}/30`)));
  const place = fc
    .tuple(fc.constantFrom(0, 1), fc.integer({ min: 0, max: 31 }), fc.integer({ min: 26, max: 32 }))
    .map(([third, last, length]) => prefix(`10.0.${third}.${(last >> (32 - length)) << (32 - length)}/${length}`));
  const operation = fc.oneof(
    fc.record({ type: fc.constant('automatic' as const), avoid: fc.array(place, { maxLength: 2 }) }),
    fc.record({ type: fc.constant('named' as const), subnet: place }),
    fc.record({ type: fc.constant('release' as const), index: fc.nat({ max: 7 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 40 }), async (operations) => {
      const ipam = createLocalIpam({ pools });
      const held: { subnet: Prefix; owner: string }[] = [];
      const free = (subnet: Prefix): boolean => !held.some((pool) => prefixesOverlap(pool.subnet, subnet));
      for (const [turn, step] of operations.entries()) {
        const owner = `n${turn}`;
        if (step.type === 'release') {
          const [pool] = held.splice(step.index, 1);
          if (pool) await ipam.releasePool(pool.subnet, pool.owner);
          continue;
        }
        const expected =
          step.type === 'named'
            ? [step.subnet].find(free)
            : candidates.find((subnet) => free(subnet) && !step.avoid.some((route) => prefixesOverlap(route, subnet)));
        const request = ipam.requestPool(any(owner, step.type === 'named' ? { subnet: step.subnet } : { avoid: step.avoid }));
        if (expected === undefined) await assert.rejects(request, step.type === 'named' ? /Pool overlaps/ : /fully subnetted/);
        else {
          assert.equal(await request, expected);
          held.push({ subnet: expected, owner });
        }
      }
      assert.deepEqual(new Set(ipam.usage().map(({ subnet }) => subnet)), new Set(held.map(({ subnet }) => subnet)));
    }),
    { numRuns: 300, seed: 3 },
  );
});
