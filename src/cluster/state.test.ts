import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { LogFields, Logger } from '../base/clock.ts';
import { type Id, newId } from '../base/ids.ts';
import { addressOf, type IpAddress, type Prefix, prefixContains } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { Network } from '../model/network.ts';
import type { ClusterNode } from '../model/node.ts';
import { nameKey, networkKey, nodeKey, subnetKey } from './keys.ts';
import { State } from './state.ts';
import { networkText, nodeText, subnetText } from './values.ts';

const node = (name: string, address: string): ClusterNode => ({
  name,
  addresses: [address as IpAddress],
  mtu: 1500,
  version: '0',
  features: ['vxlan'],
  started: '2026-01-01T00:00:00.000Z',
});

const network: Network = {
  id: newId(),
  name: 'pods',
  created: '',
  driver: 'routed',
  scope: 'global',
  ipv4: true,
  ipv6: false,
  internal: false,
  attachable: true,
  options: { backend: 'vxlan' },
  labels: {},
  ipamDriver: 'default',
  ipamOptions: {},
  pools: [],
  ranges: ['10.244.0.0/16' as Prefix],
  predefined: false,
};

const part = { inUse: false, vtep4: '0e:00:00:00:00:02' as Mac };
const subnet = (i: number): Prefix => `10.244.${i}.0/24` as Prefix;

/** What two good neighbours have written. */
const GOOD: Readonly<Record<string, string>> = {
  [networkKey(network.id)]: networkText(network),
  [nameKey('pods')]: network.id,
  [nodeKey('n1')]: nodeText({ node: node('n1', '192.0.2.1'), generation: 1, life: 'a' }),
  [nodeKey('n2')]: nodeText({ node: node('n2', '192.0.2.2'), generation: 1, life: 'b' }),
  [nodeKey('n3')]: nodeText({ node: node('n3', '192.0.2.3'), generation: 1, life: 'c' }),
  [subnetKey(network.id, subnet(1))]: subnetText({ node: 'n1', generation: 1, reserved: false, part }),
  [subnetKey(network.id, subnet(2))]: subnetText({ node: 'n2', generation: 1, reserved: false, part }),
  [subnetKey(network.id, subnet(3))]: subnetText({ node: 'n3', generation: 1, reserved: false, part }),
};

class Lab {
  readonly lines: LogFields[] = [];
  readonly state: State;
  holding = false;

  constructor(addresses: readonly string[] = ['192.0.2.1']) {
    const log = (fields: LogFields): void => void this.lines.push(fields);
    const logger: Logger = { debug: () => {}, info: () => {}, warn: log, error: log };
    const self = { ...node('n1', '192.0.2.1'), addresses: addresses as readonly IpAddress[] };
    this.state = new State({ self, logger, holding: () => this.holding, elsewhere: () => false });
    this.state.reset({
      entries: Object.entries(GOOD).map(([key, value], i) => ({ key, value, revision: i + 1 })),
      revision: 100,
    });
    this.state.take();
  }

  put(key: string, value: string | null, revision = 101): void {
    this.state.apply([{ key, value, revision }]);
  }

  peers(id: Id = network.id): readonly string[] {
    return this.state.peers(id).map(({ node: name, address, subnets }) => `${name} ${address} ${subnets.join(' ')}`);
  }
}

const BOTH = ['n2 192.0.2.2 10.244.2.0/24', 'n3 192.0.2.3 10.244.3.0/24'];

test('what is no good value changes no peer, and is told of once', () => {
  const own = JSON.parse(GOOD[nodeKey('n2')] ?? '') as object;
  const foreign = String.fromCharCode(0xfffd, 0, 0xfffd);
  const bad: readonly (readonly [string, string])[] = [
    [subnetKey(network.id, subnet(2)), '{"node":"n'],
    [subnetKey(network.id, subnet(2)), foreign],
    [subnetKey(network.id, subnet(2)), '{"node":"../n3"}'],
    [subnetKey(network.id, subnet(2)), '{"node":"n2","vtep4":"ff:ff:ff:ff:ff:ff"}'],
    [subnetKey(network.id, subnet(2)), '{"node":"n2","port":65536}'],
    [subnetKey(network.id, subnet(2)), '{"node":"n2","port":-1}'],
    [subnetKey(network.id, '10.245.2.0/24' as Prefix), subnetText({ node: 'n2', generation: 1, reserved: false, part })],
    [subnetKey(network.id, '10.244.2.0/25' as Prefix), subnetText({ node: 'n3', generation: 1, reserved: false, part })],
    [subnetKey(network.id, '10.244.0.0/16' as Prefix), subnetText({ node: 'n3', generation: 1, reserved: false, part })],
    [subnetKey(network.id, subnet(0)), subnetText({ node: 'n3', generation: 1, reserved: false, part })],
    [`subnets/${network.id}/10.244.2.1-24`, subnetText({ node: 'n3', generation: 1, reserved: false, part })],
    [`subnets/${network.id}/0-0`, '{}'],
    ['subnets/x/10.244.2.0-24', '{}'],
    [nodeKey('n2'), JSON.stringify({ ...own, addresses: ['127.0.0.1'] })],
    [nodeKey('n2'), JSON.stringify({ ...own, addresses: ['192.0.2.9', '192.0.2.8'] })],
    [nodeKey('n2'), JSON.stringify({ ...own, addresses: [] })],
    [nodeKey('n2'), JSON.stringify({ ...own, generation: 1e300 })],
    [nodeKey('n2'), 'null'],
    [networkKey(network.id), networkText({ ...network, ranges: ['10.0.0.0/31' as Prefix] })],
    [networkKey(network.id), networkText({ ...network, id: newId() })],
    ['elsewhere', '{}'],
    ['nodes/', '{}'],
  ];
  for (const [key, value] of bad) {
    const lab = new Lab();
    lab.put(key, value);
    lab.put(key, value, 102);
    assert.deepEqual(lab.peers(), BOTH, `${key} ${value}`);
    assert.equal(lab.lines.length, 1, `${key} ${value}: ${JSON.stringify(lab.lines)}`);
    assert.equal(lab.lines[0]?.['key'], key);
    assert.equal(lab.state.take().peers.size, 0);
    // And what is good again counts again.
    if (key === nodeKey('n2')) {
      lab.put(key, nodeText({ node: node('n2', '198.51.100.2'), generation: 2, life: 'b' }), 103);
      assert.deepEqual(lab.peers(), ['n2 198.51.100.2 10.244.2.0/24', BOTH[1]]);
    }
  }
});

test('a peer with our own address, or none of our family, is none', () => {
  for (const address of ['192.0.2.1', '2001:db8::2']) {
    const lab = new Lab();
    lab.put(nodeKey('n2'), nodeText({ node: node('n2', address), generation: 2, life: 'b' }));
    assert.deepEqual(lab.peers(), [BOTH[1]]);
    assert.equal(lab.lines.length, 1);
  }
  const both = new Lab(['192.0.2.1', '2001:db8::1']);
  const taken = { ...node('n2', '192.0.2.2'), addresses: ['192.0.2.2', '2001:db8::1'] as IpAddress[] };
  both.put(nodeKey('n2'), nodeText({ node: taken, generation: 2, life: 'b' }));
  assert.deepEqual(both.peers(), [BOTH[1]]);
});

test('an older revision is passed over', () => {
  const lab = new Lab();
  const key = nodeKey('n2');
  lab.put(key, nodeText({ node: node('n2', '198.51.100.2'), generation: 2, life: 'b' }), 200);
  lab.put(key, GOOD[key] ?? '', 150);
  lab.put(key, null, 150);
  assert.equal(lab.peers()[0], 'n2 198.51.100.2 10.244.2.0/24');
  // Unless the store has gone back as a whole.
  lab.state.reset({ entries: Object.entries(GOOD).map(([one, value]) => ({ key: one, value, revision: 5 })), revision: 9 });
  assert.deepEqual(lab.peers(), BOTH);
});

test('what was written here is there before the watch tells, and a listing made before does not undo it', () => {
  const lab = new Lab();
  const mine = subnetKey(network.id, subnet(9));
  lab.state.wrote(mine, subnetText({ node: 'n1', generation: 1, reserved: false, part }), 110);
  lab.state.wrote(subnetKey(network.id, subnet(1)), null, 111);
  const own = (): readonly string[] => lab.state.own(network.id).map((one) => one.subnet);
  assert.deepEqual(own(), [subnet(9)]);
  lab.state.reset({ entries: Object.entries(GOOD).map(([key, value]) => ({ key, value, revision: 5 })), revision: 105 });
  assert.deepEqual(own(), [subnet(9)]);
  lab.put(mine, subnetText({ node: 'n1', generation: 1, reserved: false, part }), 110);
  lab.put(subnetKey(network.id, subnet(1)), null, 111);
  assert.deepEqual(own(), [subnet(9)]);
  lab.state.reset({ entries: [], revision: 120 });
  assert.deepEqual(own(), []);
});

test('a network of whose range nothing was known before takes the entries that were there', () => {
  const lab = new Lab();
  lab.put(networkKey(network.id), null);
  assert.deepEqual([...lab.state.take().removed], [network.id]);
  assert.deepEqual(lab.peers(), []);
  lab.put(networkKey(network.id), networkText(network), 102);
  assert.deepEqual([...lab.state.take().networks], [network.id]);
  assert.deepEqual(lab.peers(), BOTH);
});

test('whatever is written below our prefix: no crash, and no peer that cannot be', () => {
  const text = fc.oneof(
    fc.constantFrom(...Object.values(GOOD)),
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.json({ maxDepth: 2 }),
    fc
      .tuple(
        fc.constantFrom(...Object.values(GOOD)),
        fc.array(fc.tuple(fc.nat({ max: 250 }), fc.nat({ max: 12 }), fc.string({ maxLength: 4 })), {
          minLength: 1,
          maxLength: 3,
        }),
      )
      .map(([value, edits]) => edits.reduce((now, [at, cut, put]) => now.slice(0, at) + put + now.slice(at + cut), value)),
  );
  const key = fc.oneof(
    fc.constantFrom(...Object.keys(GOOD)),
    fc
      .tuple(fc.nat({ max: 255 }), fc.integer({ min: 16, max: 32 }))
      .map(([i, length]) => `subnets/${network.id}/10.244.${i}.0-${length}`),
    fc.string({ maxLength: 30 }).map((word) => `subnets/${network.id}/${word}`),
    fc.string({ maxLength: 30 }),
  );
  const change = fc.tuple(key, fc.option(text, { freq: 6 }), fc.boolean());
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 30 }), (changes) => {
      const lab = new Lab();
      for (const [i, [at, value, holding]] of changes.entries()) {
        lab.holding = holding;
        lab.put(at, value, 101 + i);
        const known = lab.state.network(network.id);
        const range = known?.ranges?.[0] ?? ('10.244.0.0/16' as Prefix);
        const peers = lab.state.peers(network.id);
        const subnets = peers.flatMap((peer) => peer.subnets);
        assert.equal(new Set(subnets).size, subnets.length);
        for (const one of subnets)
          assert.ok(prefixContains(range, addressOf(one)) && one.endsWith(`/${lab.state.spaces(network.id)[0]?.length}`));
        for (const peer of peers)
          assert.ok(peer.node !== 'n1' && peer.address !== '192.0.2.1' && !peer.address.startsWith('127.'));
      }
    }),
    { numRuns: 2_000, seed: 7 },
  );
});
