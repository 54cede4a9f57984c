import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HostFacts } from '../../contracts/kernel.ts';
import { describe as line } from '../../contracts/describe.ts';
import { inversePlan, subsume } from '../../contracts/inverse.ts';
import { facts, INSTANCE } from './fixture.testing.ts';
import { forwardWarnings } from './foreign.ts';
import { planHost, planReset } from './host.ts';
import { createBridgeDriver } from './index.ts';

const TABLE = { family: 'inet', name: 'moor' } as const;
const text = (host: HostFacts): string[] => planHost(TABLE, host).map(line);
const LIMITS = [
  'sysctl -w net.ipv4.neigh.default.gc_thresh3=131072',
  'sysctl -w net.ipv4.neigh.default.gc_thresh2=65536',
  'sysctl -w net.ipv4.neigh.default.gc_thresh1=16384',
  'sysctl -w net.core.netdev_max_backlog=4096',
];
const DOCKER = { family: 'ip', table: 'filter', chain: 'FORWARD', policy: 'drop', userChain: 'DOCKER-USER' } as const;

describe('the host', () => {
  test('that forwarded nothing before', () => {
    assert.deepEqual(text(facts()), [
      'nft add table inet moor # 27 sets, 20 chains, 73 rules',
      'nft add element inet moor uplink { "ens3" }',
      'nft add element inet moor foreign { ipv4 : goto closed }',
      'nft add element inet moor foreign { ipv6 : goto closed }',
      'sysctl -w net.ipv4.ip_forward=1',
      ...LIMITS,
    ]);
  });

  test('whose bridged frames are translated cannot answer to ::1', () => {
    const unanswered = 'nft add element inet moor unanswered { ::1 }';
    assert.ok(text(facts({ bridgeNf: true })).includes(unanswered));
    assert.ok(!text(facts({ bridgeNf: false })).includes(unanswered));
  });

  test('that was a router, without uplink, in a namespace of its own', () => {
    const host = facts({ uplink: '', sysctls: { 'net/ipv4/ip_forward': '1', 'net/ipv6/conf/all/forwarding': '1' } });
    assert.deepEqual(text(host), ['nft add table inet moor # 27 sets, 20 chains, 73 rules', 'sysctl -w net.ipv4.ip_forward=1']);
  });

  test('limits are only raised', () => {
    const limit = 'net/ipv4/neigh/default/gc_thresh';
    const sysctls = {
      [`${limit}1`]: '80000',
      [`${limit}2`]: '65536',
      [`${limit}3`]: '100000',
      'net/core/netdev_max_backlog': '5000',
    };
    assert.deepEqual(
      text(facts({ sysctls })).filter((what) => /neigh|backlog/.test(what)),
      ['sysctl -w net.ipv4.neigh.default.gc_thresh3=131072'],
    );
  });

  test('is as before afterwards, but for the limits of the machine', () => {
    const undo = subsume(inversePlan(planHost(TABLE, facts())));
    assert.deepEqual(undo.map(line), ['sysctl -w net.ipv4.ip_forward=0', 'nft delete table inet moor']);
  });

  test('a reset makes it no router for IPv6 either, and listens to router advertisements as before', () => {
    const sysctls = { 'net/ipv6/conf/all/forwarding': '0', 'net/ipv6/conf/ens3/accept_ra': '1' };
    assert.deepEqual(planReset(facts({ sysctls })).map(line), [
      'sysctl -w net.ipv6.conf.all.forwarding=0',
      'sysctl -w net.ipv6.conf.ens3.accept_ra=1',
    ]);
    assert.deepEqual(planReset(facts({ sysctls: { ...sysctls, 'net/ipv6/conf/all/forwarding': '1' } })), [], 'it was one');
    assert.deepEqual(planReset(facts({ sysctls, foreignForward: [DOCKER] })), [], 'others filter, and count on it');
    assert.deepEqual(planReset(facts({ sysctls: {} })), [], 'no IPv6');
    const narrow = planReset(facts({ sysctls, uplinkMtu: 1279 })).map(line);
    assert.deepEqual(narrow, ['sysctl -w net.ipv6.conf.all.forwarding=0'], 'no keys on the uplink');
  });

  test('beside Docker: one rule where Docker documents it, and forwarding stays on afterwards', () => {
    const host = facts({ foreignForward: [DOCKER, { ...DOCKER, family: 'ip6' }] });
    assert.deepEqual(
      text(host).filter((what) => what.includes('DOCKER')),
      [
        'nft insert rule ip filter DOCKER-USER meta mark & 0x00001000 == 0x00001000 accept comment "moor: forwarded by Moorline"',
        'nft insert rule ip6 filter DOCKER-USER meta mark & 0x00001000 == 0x00001000 accept comment "moor: forwarded by Moorline"',
      ],
    );
    const undo = inversePlan(planHost(TABLE, host)).map(line);
    assert.ok(!undo.some((what) => what.includes('ip_forward')));
    assert.equal(undo.filter((what) => what.startsWith('nft delete rule')).length, 2);
    assert.deepEqual(forwardWarnings(host), []);
  });

  test('settled packets carry the mark where others may ask for it, and only there', () => {
    const settled = (part: Partial<HostFacts>): string | undefined => {
      const [change] = planHost(TABLE, facts(part));
      return change?.kind === 'nft-table' ? change.table.chains.find(({ name }) => name === 'forward')?.rules[0]?.expr : '';
    };
    const alone = 'ct mark & 0x00001000 == 0x00001000 iifgroup != 1836019570 oifgroup != 1836019570 accept';
    const marked = alone.replace('accept', 'meta mark set meta mark | 0x00001000 accept');
    assert.equal(settled({}), alone);
    // Whatever it says today: its rules may be others tomorrow, and nobody tells which.
    assert.equal(settled({ foreignForward: [{ ...DOCKER, policy: 'accept', userChain: null }] }), marked);
    assert.equal(settled({ unseenForward: true }), marked);
  });

  test('what is for localhost is kept out where a bridge may take it', () => {
    const count = (part: Partial<HostFacts>): string | undefined => text(facts(part))[0];
    const guarded = 'nft add table inet moor # 27 sets, 22 chains, 77 rules';
    assert.equal(count({ localhostPorts: true }), guarded);
    assert.equal(count({ sysctls: { 'net/ipv4/conf/all/route_localnet': '1' } }), guarded);
    assert.notEqual(count({ sysctls: { 'net/ipv4/conf/all/route_localnet': '0' } }), guarded);
  });

  test('nothing is added where nothing is dropped or no place is documented', () => {
    const foreignForward = [
      { ...DOCKER, policy: 'accept' },
      { ...DOCKER, userChain: null },
    ] as const;
    assert.ok(!text(facts({ foreignForward })).some((what) => what.startsWith('nft insert')));
  });

  test('where nothing is dropped any more, the rule goes', () => {
    const { planHostStale } = createBridgeDriver({ instance: INSTANCE });
    const stale = (policy: 'accept' | 'drop') => planHostStale?.(facts({ foreignForward: [{ ...DOCKER, policy }] })).map(line);
    assert.deepEqual(stale('drop'), []);
    assert.deepEqual(stale('accept'), [
      'nft delete rule ip filter DOCKER-USER # meta mark & 0x00001000 == 0x00001000 accept comment "moor: forwarded by Moorline"',
    ]);
  });
});

describe('warnings', () => {
  test('a policy of drop', () => {
    assert.deepEqual(forwardWarnings(facts({ foreignForward: [{ ...DOCKER, userChain: null }] })), [
      'chain FORWARD of nftables table ip filter drops what it does not know (policy drop): packets between sandboxes and other ' +
        "hosts are lost; allow what Moorline has let pass with: nft insert rule ip filter FORWARD 'meta mark & 0x00001000 == " +
        "0x00001000 accept' (with ufw: ufw default allow routed)",
    ]);
  });

  test('firewalld, while bridged frames are filtered as well', () => {
    const firewalld = { family: 'inet', table: 'firewalld', chain: 'filter_FORWARD', policy: 'accept', userChain: null } as const;
    assert.deepEqual(forwardWarnings(facts({ bridgeNf: true, foreignForward: [firewalld] })), [
      'chain filter_FORWARD of nftables table inet firewalld rejects what no zone or policy allows: packets to and from sandboxes, ' +
        'also inside one network (bridge-nf-call-iptables is 1) are lost; allow it with firewalld: firewall-cmd --permanent ' +
        '--zone=trusted --add-interface=BRIDGE for each bridge, then firewall-cmd --reload',
    ]);
  });

  test('none for a chain that accepts', () => {
    assert.deepEqual(forwardWarnings(facts({ foreignForward: [{ ...DOCKER, policy: 'accept', userChain: null }] })), []);
  });
});
