/** Networks that are one segment on all nodes, and their addresses, whatever the store: nothing is given twice, nothing stays behind. */
import assert from 'node:assert/strict';
import { type ErrorKind, MoorError } from '../../src/base/errors.ts';
import { newId } from '../../src/base/ids.ts';
import { familyOf, type IpAddress, type Prefix, prefixContains, prefixesOverlap } from '../../src/base/ip.ts';
import { addressKey, poolKey, vniKey } from '../../src/cluster/keys.ts';
import type { AddressClaim, ClusterNetwork } from '../../src/contracts/cluster.ts';
import type { Network, Pool } from '../../src/model/network.ts';
import { checker, type ClusterSuite, isKind } from './cluster-check.ts';
import { endpoint } from './cluster-endpoints.ts';
import { type ClusterWorld, routed, type TestNode, until } from './cluster-world.ts';

const VNIS = 'com.docker.network.driver.overlay.vxlanid_list';

export const overlay = (name: string, more: Partial<Network> = {}): Network => {
  const { ranges: _, ...network } = routed(name);
  return { ...network, driver: 'overlay', options: {}, ipamDriver: 'cluster', ...more };
};

export const pool = (subnet: string, more: Partial<Pool> = {}): Pool => ({
  family: familyOf(subnet as Prefix),
  subnet: subnet as Prefix,
  gateway: null,
  range: null,
  auxiliary: {},
  configured: true,
  ...more,
});

const subnetOf = ({ network }: ClusterNetwork): Prefix => network.pools[0]!.subnet;
const gatewayOf = ({ network }: ClusterNetwork): IpAddress | null => network.pools[0]!.gateway;
const vnisOf = ({ network }: ClusterNetwork): string => network.options[VNIS] ?? '';

const keys = async (world: ClusterWorld, prefix: string): Promise<readonly string[]> =>
  (await world.store.list(prefix)).entries.map(({ key }) => key.slice(prefix.length));

const claim = (node: TestNode, known: ClusterNetwork, wish: string | Omit<AddressClaim, 'subnet'>): Promise<IpAddress> =>
  node.cluster.addresses.claim(known.network.id, {
    subnet: subnetOf(known),
    ...(typeof wish === 'string' ? { owner: wish } : wish),
  });

const SILENT: readonly ErrorKind[] = ['unavailable', 'timeout'];

/** A server on a busy machine may be silent for a moment: then it is asked again, and gets back what may have been given. */
async function patiently<T>(world: ClusterWorld, work: () => Promise<T>, kinds: readonly ErrorKind[] = SILENT): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof MoorError && kinds.includes(error.kind)) || tries === 50) throw error;
      await world.pass(100);
    }
  }
}

export function segmentConformance(suite: ClusterSuite): void {
  const check = checker(suite);

  check('one segment: what was left open is decided once, and the same on all nodes', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const first = await a.cluster.create(overlay('one'));
    assert.deepEqual(first.network.pools, [
      { family: 4, subnet: '10.0.0.0/24', gateway: '10.0.0.1', range: null, auxiliary: {}, configured: false },
    ]);
    assert.equal(vnisOf(first), '4097');
    const auxiliary = { router: '10.7.0.1' as IpAddress };
    const second = await b.cluster.create(
      overlay('two', {
        ipv6: true,
        pools: [pool('10.7.0.0/16', { auxiliary, range: '10.7.3.0/24' as Prefix })],
        options: { [VNIS]: '77' },
      }),
    );
    assert.equal(vnisOf(second), '77');
    assert.equal(gatewayOf(second), '10.7.0.2');
    const id = second.network.id;
    assert.match(second.network.pools[1]!.subnet, new RegExp(`^fd${id.slice(0, 2)}:${id.slice(2, 6).replace(/^0+(?=.)/, '')}:`));
    await until(world, () => a.network('two') !== undefined && b.network('one') !== undefined);
    assert.deepEqual(a.network('two')?.network, second.network);
    assert.deepEqual(b.network('one')?.network, first.network);
    assert.equal(a.network('two')?.peers.length, 0);
    // After a restart, from what was kept.
    await b.stop();
    const line = await world.line();
    line.cut();
    await b.start({ line });
    assert.deepEqual(b.network('one')?.network, first.network);
    line.mend();
  });

  check('one segment: what others have is refused, and nothing is left of the attempt', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    await a.cluster.create(routed('pods', '10.0.0.0/15'));
    const one = await a.cluster.create(overlay('one'));
    assert.equal(subnetOf(one), '10.2.0.0/24', 'behind the range of the routed network');
    await until(world, () => b.cluster.networks().length === 2);
    const before = await keys(world, '');
    const refused = async (network: Network, kind: 'conflict' | 'invalid', text: RegExp): Promise<void> => {
      await assert.rejects(b.cluster.create(network), isKind(kind, text));
      assert.deepEqual(await keys(world, ''), before);
    };
    await refused(overlay('one'), 'conflict', /network with name one already exists/);
    await refused(
      overlay('x', { pools: [pool('10.2.0.0/16')] }),
      'conflict',
      /^Pool overlaps with other one on this address space/,
    );
    await refused(
      overlay('x', { pools: [pool('10.1.3.0/24')] }),
      'conflict',
      /^Pool overlaps .* network pods .* 10\.0\.0\.0\/15/,
    );
    await refused(overlay('x', { options: { [VNIS]: '4097' } }), 'conflict', /^VNI 4097 is in use by network one/);
    await refused(overlay('x', { options: { [VNIS]: '0' } }), 'invalid', /must be numbers from 1 to 16777215/);
    await assert.rejects(b.cluster.create(routed('y', '10.2.0.0/20')), isKind('conflict', /Pool overlaps/));
  });

  check('one segment: made at once on three nodes, no two overlap in subnet, identifier or name', async (world, start) => {
    const nodes = await start(3);
    const wanted = Array.from({ length: 12 }, (_, i) =>
      overlay(
        `net${i % 10}`,
        i % 4 === 3 ? { pools: [pool(`10.0.${i}.0/22`.replace(/\.\d+\.0\/22/, `.${(i >> 2) * 4}.0/22`))] } : {},
      ),
    );
    const made = await Promise.allSettled(wanted.map((network, i) => nodes[i % 3]!.cluster.create(network)));
    const done = made.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    assert.ok(done.length >= 8, JSON.stringify(made));
    assert.equal(new Set(done.map(({ network }) => network.name)).size, done.length);
    assert.equal(new Set(done.map(vnisOf)).size, done.length);
    for (const [i, x] of done.entries())
      for (const y of done.slice(i + 1)) assert.ok(!prefixesOverlap(subnetOf(x), subnetOf(y)), `${subnetOf(x)} ${subnetOf(y)}`);
    // The store holds what was made, and nothing of what was not.
    const sorted = (list: readonly string[]): string[] => [...list].sort();
    assert.deepEqual(sorted(await keys(world, 'pools/')), sorted(done.map((one) => poolKey(subnetOf(one)).slice(6))));
    assert.deepEqual(sorted(await keys(world, 'vnis/')), sorted(done.map(vnisOf)));
    assert.deepEqual(sorted(await keys(world, 'networks/')), sorted(done.map(({ network }) => network.id)));
    await until(world, () => nodes.every(({ cluster }) => cluster.networks().length === done.length));
  });

  check('one segment: one that is removed leaves nothing, and is not removed under others’ endpoints', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const empty = await keys(world, '');
    const one = await a.cluster.create(
      overlay('one', { pools: [pool('10.5.0.0/24', { auxiliary: { x: '10.5.0.9' as IpAddress } })] }),
    );
    const { id } = one.network;
    await until(world, () => b.network('one') !== undefined);
    const address = await claim(b, one, 'sandbox web');
    const web = endpoint('web', address);
    b.cluster.tell(id, web);
    await until(world, async () => (await keys(world, `endpoints/${id}/`)).length === 1);
    await assert.rejects(a.cluster.remove(id), isKind('forbidden', /network one has active endpoints on n2$/));
    b.cluster.untell(id, web.id);
    await until(world, async () => (await keys(world, `endpoints/${id}/`)).length === 0);
    await a.cluster.remove(id);
    await until(world, () => b.cluster.networks().length === 0);
    await until(world, async () => JSON.stringify(await keys(world, '')) === JSON.stringify([...empty, 'locks/segments'].sort()));
    const again = await b.cluster.create(overlay('one', { options: { [VNIS]: '4097' }, pools: [pool('10.5.0.0/24')] }));
    assert.equal(gatewayOf(again), '10.5.0.1');
  });

  check('addresses: whoever asks at the same moment, none is given twice', async (world, start) => {
    const nodes = await start(3);
    const one = await nodes[0]!.cluster.create(overlay('one', { pools: [pool('10.5.0.0/24')] }));
    await until(world, () => nodes.every((node) => node.network('one') !== undefined));
    const each = 40;
    const given = await Promise.all(
      nodes.flatMap((node) => Array.from({ length: each }, (_, i) => patiently(world, () => claim(node, one, `sandbox s${i}`)))),
    );
    assert.equal(new Set(given).size, 3 * each);
    assert.ok(
      given.every((address) => prefixContains(subnetOf(one), address) && address !== '10.5.0.1' && address !== '10.5.0.0'),
    );
    // Asking again gets the same; another node's owner of the same name is another one.
    assert.equal(await claim(nodes[1]!, one, 'sandbox s7'), given[each + 7]);
    await assert.rejects(
      claim(nodes[2]!, one, { owner: 'sandbox x', address: given[3]! }),
      isKind('conflict', /^Address already in use$/),
    );
    await assert.rejects(
      claim(nodes[2]!, one, { owner: 'sandbox x', address: '10.5.0.1' as IpAddress }),
      isKind('conflict', /in use/),
    );
    assert.equal(await claim(nodes[2]!, one, { owner: 'gateway', address: '10.5.0.1' as IpAddress }), '10.5.0.1');
    // All that are left, then none; and what one gives back another gets.
    for (let i = 0; i < 253 - 3 * each; i++)
      await patiently(world, () => claim(nodes[i % 3]!, one, `sandbox more${i}`), [...SILENT, 'exhausted']);
    await assert.rejects(
      patiently(world, () => claim(nodes[0]!, one, 'sandbox last')),
      isKind('exhausted', /no available IPv4 addresses/),
    );
    await nodes[1]!.cluster.addresses.release(one.network.id, given[each + 7]!);
    await nodes[1]!.cluster.addresses.release(one.network.id, given[each + 7]!);
    const last = await patiently(world, () => claim(nodes[0]!, one, 'sandbox last'), [...SILENT, 'exhausted']);
    assert.equal(last, given[each + 7]);
    await until(world, async () => (await keys(world, `addresses/${one.network.id}/`)).length === 254);
  });

  check('addresses: of a part of the subnet; what was released is not the next one given', async (_world, start) => {
    const [a] = (await start(1)) as [TestNode];
    const one = await a.cluster.create(overlay('one', { pools: [pool('10.5.0.0/24'), pool('fd00:5::/64')], ipv6: true }));
    const range = '10.5.0.16/30' as Prefix;
    const got: IpAddress[] = [];
    for (let i = 0; i < 4; i++) got.push(await claim(a, one, { owner: `sandbox s${i}`, range }));
    assert.deepEqual(got, ['10.5.0.16', '10.5.0.17', '10.5.0.18', '10.5.0.19']);
    await assert.rejects(claim(a, one, { owner: 'sandbox s4', range }), isKind('exhausted', /10\.5\.0\.16\/30/));
    const second = await claim(a, one, 'sandbox x');
    assert.equal(second, '10.5.0.2');
    await a.cluster.addresses.release(one.network.id, second);
    assert.equal(await claim(a, one, 'sandbox y'), '10.5.0.3');
    assert.equal(
      await a.cluster.addresses.claim(one.network.id, { subnet: 'fd00:5::/64' as Prefix, owner: 'sandbox y' }),
      'fd00:5::2',
    );
  });

  check(
    'addresses: a node that is started again keeps what it holds, and gives back what it has not any more',
    async (world, start) => {
      const [a, b] = (await start(2)) as [TestNode, TestNode];
      const one = await a.cluster.create(overlay('one', { pools: [pool('10.5.0.0/24')] }));
      const { id } = one.network;
      await until(world, () => b.network('one') !== undefined);
      const [kept, lost] = [await claim(b, one, 'sandbox kept'), await claim(b, one, 'sandbox lost')];
      const other = await claim(a, one, 'sandbox other');
      for (const away of [false, true]) {
        await b.stop();
        const line = await world.line();
        if (away) line.cut();
        await b.start({ line });
        b.cluster.addresses.hold(id, kept, { subnet: subnetOf(one), owner: 'sandbox kept' });
        await b.cluster.complete();
        assert.equal(await claim(b, one, 'sandbox kept'), kept);
        line.mend();
        await until(
          world,
          async () => JSON.stringify(await keys(world, `addresses/${id}/`)) === JSON.stringify(['10.5.0.1', kept, other].sort()),
        );
        await assert.rejects(claim(a, one, { owner: 'sandbox x', address: kept }), isKind('conflict', /in use/));
      }
      assert.notEqual(lost, kept);
      // One that was held, and of which the store has forgotten, is made again.
      await world.store.commit([{ type: 'delete', key: addressKey(id, kept) }]);
      await b.stop();
      await b.start();
      b.cluster.addresses.hold(id, kept, { subnet: subnetOf(one), owner: 'sandbox kept' });
      await until(world, async () => (await world.store.get(addressKey(id, kept))) !== null);
      // Who leaves gives all back; what is the network's stays.
      await b.cluster.leave();
      await until(
        world,
        async () => JSON.stringify(await keys(world, `addresses/${id}/`)) === JSON.stringify(['10.5.0.1', other].sort()),
      );
    },
  );

  check('addresses: while the store is away none is given, and what is given back is gone afterwards', async (world, start) => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const one = await a.cluster.create(overlay('one', { pools: [pool('10.5.0.0/24')] }));
    const { id } = one.network;
    await until(world, () => b.network('one') !== undefined);
    const [back, mine] = [await claim(b, one, 'sandbox back'), await claim(b, one, 'sandbox mine')];
    b.line.cut();
    await until(world, () => !b.cluster.status().store.reachable);
    await assert.rejects(claim(b, one, 'sandbox more'), (error) => isKind('unavailable', /./)(error));
    await b.cluster.addresses.release(id, back);
    // As long as a node may be away before it is taken for dead, and longer: what it has stays its own.
    await world.pass(2 * world.ttlMs);
    await assert.rejects(claim(a, one, { owner: 'sandbox thief', address: mine }), isKind('conflict', /in use/));
    b.line.mend();
    await until(
      world,
      async () => JSON.stringify(await keys(world, `addresses/${id}/`)) === JSON.stringify(['10.5.0.1', mine].sort()),
    );
    assert.equal(await claim(a, one, { owner: 'sandbox next', address: back }), back);
  });

  check(
    'addresses: of a network that is no more none is given; of one that a backup brings back they are as they were',
    async (world, start) => {
      const [a, b] = (await start(2)) as [TestNode, TestNode];
      const one = await a.cluster.create(overlay('one', { pools: [pool('10.5.0.0/24')] }));
      const { id } = one.network;
      await until(world, () => b.network('one') !== undefined);
      const mine = await claim(b, one, 'sandbox mine');
      const backup = (await world.store.list('')).entries.filter(({ key }) => !/^(nodes|addresses)/.test(key));
      await world.store.commit(backup.map(({ key }) => ({ type: 'delete', key })));
      await until(world, () => b.network('one') === undefined && a.network('one') === undefined);
      await assert.rejects(claim(a, one, 'sandbox x'), isKind('not-found', /not found in the cluster/));
      await until(world, async () => JSON.stringify(await keys(world, `addresses/${id}/`)) === JSON.stringify(['10.5.0.1']));
      await world.store.commit(backup.map(({ key, value }) => ({ type: 'put', key, value })));
      await until(world, async () => (await world.store.get(addressKey(id, mine))) !== null);
      await until(world, () => a.network('one') !== undefined);
      await assert.rejects(claim(a, one, { owner: 'sandbox x', address: mine }), isKind('conflict', /in use/));
    },
  );

  check('entries under our keys that nobody of ours would write give nothing away', async (world, start) => {
    const [a] = (await start(1)) as [TestNode];
    const bytes = ['', '\u0000\ufffd', '{"node":"n9"', '{"node":"../x","owner":"sandbox y"}', '[]'];
    const one = await a.cluster.create(overlay('one', { pools: [pool('10.5.0.0/28')] }));
    const { id } = one.network;
    for (const [i, value] of bytes.entries()) {
      await world.store.commit([
        { type: 'put', key: addressKey(id, `10.5.0.${i + 2}` as IpAddress), value },
        { type: 'put', key: poolKey(`10.0.${i}.0/24` as Prefix), value },
        { type: 'put', key: vniKey(4098 + i), value },
        { type: 'put', key: `pools/nonsense${i}`, value },
        { type: 'put', key: `addresses/${id}/nonsense${i}`, value },
        {
          type: 'put',
          key: `networks/${newId()}`,
          value: value === '' ? JSON.stringify({ ...one.network, id: newId() }) : value,
        },
      ]);
    }
    // What cannot be read is somebody's.
    assert.equal(await claim(a, one, 'sandbox web'), '10.5.0.7');
    await assert.rejects(claim(a, one, { owner: 'sandbox db', address: '10.5.0.3' as IpAddress }), isKind('conflict', /in use/));
    const two = await a.cluster.create(overlay('two'));
    assert.equal(subnetOf(two), '10.0.5.0/24');
    assert.equal(vnisOf(two), '4103');
    assert.equal(a.cluster.networks().length, 2);
  });
}
