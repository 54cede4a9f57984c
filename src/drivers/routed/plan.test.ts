import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseIp, parsePrefix } from '../../base/ip.ts';
import { inversePlan, subsume } from '../../contracts/inverse.ts';
import type { Peer } from '../../model/node.ts';
import type { Endpoint } from '../../model/sandbox.ts';
import { ALIAS, driver, DUAL, endpoint, host, id, network, peer, SUBNETS, text } from './fixture.testing.ts';

const told = (options: string, ranges = '10.244.0.0/16'): string =>
  text([{ kind: 'file', path: '/local', value: `pods bridge local ${ranges} ${options}`, old: null }])[0] ?? '';
const RANGES = '10.244.0.0/16,fd44::/48';
const mtu = (bytes: number): string => `{"com.docker.network.driver.mtu":"${bytes}"}`;
const CLOSED4 = 'ip route add unreachable 10.244.0.0/16 metric 2147483648';
const CLOSED6 = 'ip -6 route add unreachable fd44::/48 metric 2147483648';

const planNetwork = (...at: Parameters<typeof network>): string[] => text(driver.planNetwork(network(...at), host()));
const plan = (value: ReturnType<typeof network>, to: Peer, facts = host()): { lines: string[]; trouble: string } => {
  const { changes, trouble } = driver.planPeer?.(value, to, facts) ?? assert.fail();
  return { lines: text(changes), trouble };
};

describe('the network', () => {
  test('host-gw: a bridge, and no way out for what is nobody’s', () => {
    assert.deepEqual(planNetwork({ backend: 'host-gw' }), [told(mtu(1500)), CLOSED4]);
  });

  test('alloc: a bridge; the rest is somebody else’s', () => {
    assert.deepEqual(planNetwork({ backend: 'alloc' }), [told(mtu(1500))]);
  });

  test('vxlan: a VTEP', () => {
    assert.deepEqual(planNetwork(), [
      told(mtu(1450)),
      `ip link add moor-vx1 mtu 1450 address 4e:ba:a9:66:d5:fc alias ${ALIAS} up type vxlan id 1 dstport 8472 local 10.9.0.1 nolearning`,
      'sysctl -w net.ipv6.conf.moor-vx1.disable_ipv6=1',
      'ip address add 10.244.1.0/32 dev moor-vx1',
      CLOSED4,
    ]);
  });

  test('vxlan with IPv6: a VTEP of each family, and the MTU of the smaller one', () => {
    assert.deepEqual(planNetwork({ vni: '7', port: '4789' }, DUAL), [
      told(mtu(1430), RANGES),
      `ip link add moor-vx7 mtu 1450 address ca:c3:3a:64:57:cf alias ${ALIAS} up type vxlan id 7 dstport 4789 local 10.9.0.1 nolearning`,
      'sysctl -w net.ipv6.conf.moor-vx7.disable_ipv6=1',
      'ip address add 10.244.1.0/32 dev moor-vx7',
      `ip link add moor6vx7 mtu 1430 address b2:5a:42:84:07:7a alias ${ALIAS} up type vxlan id 7 dstport 4789 local fd09::1 nolearning`,
      'sysctl -w net.ipv6.conf.moor6vx7.accept_ra=0',
      'sysctl -w net.ipv6.conf.moor6vx7.accept_dad=0',
      'sysctl -w net.ipv6.conf.moor6vx7.disable_ipv6=0',
      'ip address add fd44:0:0:1::/128 dev moor6vx7 nodad',
      CLOSED4,
      CLOSED6,
    ]);
  });

  test('vxlan with IPv6 on an underlay without: one VTEP for both', () => {
    const lines = text(driver.planNetwork(network({}, DUAL), host(['10.9.0.1/24'])));
    assert.deepEqual(lines.slice(0, 7), [
      told(mtu(1450), RANGES),
      `ip link add moor-vx1 mtu 1450 address 4e:ba:a9:66:d5:fc alias ${ALIAS} up type vxlan id 1 dstport 8472 local 10.9.0.1 nolearning`,
      'sysctl -w net.ipv6.conf.moor-vx1.accept_ra=0',
      'sysctl -w net.ipv6.conf.moor-vx1.accept_dad=0',
      'sysctl -w net.ipv6.conf.moor-vx1.disable_ipv6=0',
      'ip address add 10.244.1.0/32 dev moor-vx1',
      'ip address add fd44:0:0:1::/128 dev moor-vx1 nodad',
    ]);
  });

  test('vxlan: checksums are made before the VTEP where they do not arrive, or where that is asked for', () => {
    const made = (option: string | undefined, brokenChecksums: boolean): string[] =>
      text(
        driver.planNetwork(
          network(option === undefined ? {} : { 'checksum-offload': option }),
          host(undefined, { brokenChecksums }),
        ),
      ).filter((line) => line.startsWith('ethtool'));
    const off = ['ethtool -K moor-vx1 tx off'];
    assert.deepEqual([made(undefined, false), made(undefined, true), made('auto', true)], [[], off, off]);
    assert.deepEqual([made('on', true), made('off', false)], [[], off]);
  });

  test('udp: a TUN device', () => {
    assert.deepEqual(planNetwork({ backend: 'udp' }, DUAL), [
      told(mtu(1472), RANGES),
      `ip tuntap add dev moor-udp0 mode tun && ip link set moor-udp0 mtu 1472 alias ${ALIAS} up`,
      'sysctl -w net.ipv6.conf.moor-udp0.accept_ra=0',
      'sysctl -w net.ipv6.conf.moor-udp0.accept_dad=0',
      'sysctl -w net.ipv6.conf.moor-udp0.disable_ipv6=0',
      'ip address add 10.244.1.0/32 dev moor-udp0',
      'ip address add fd44:0:0:1::/128 dev moor-udp0 nodad',
      CLOSED4,
      CLOSED6,
    ]);
    const other = text(driver.planNetwork(network({ backend: 'udp', port: '9000' }), host(['fd09::1/64'])));
    assert.deepEqual(other.slice(0, 2), [
      told(mtu(1452)),
      `ip tuntap add dev moor-udp9000 mode tun && ip link set moor-udp9000 mtu 1452 alias ${ALIAS} up`,
    ]);
  });

  test('an MTU of the user’s is the sandboxes’', () => {
    const options = { 'com.docker.network.driver.mtu': '1400', 'com.docker.network.bridge.enable_icc': 'false' };
    const [first, second] = planNetwork({ backend: 'udp', ...options });
    assert.equal(first, told('{"com.docker.network.bridge.enable_icc":"false","com.docker.network.driver.mtu":"1400"}'));
    assert.match(second ?? '', / mtu 1472 /);
  });

  test('an underlay that is too narrow for IPv6: fragments', () => {
    const [first] = text(driver.planNetwork(network({}, DUAL), host(['10.9.0.1/24'], { mtu: 1280 })));
    assert.equal(first, told(mtu(1280), RANGES));
  });

  test('that has leased nothing yet has devices without addresses', () => {
    const lines = planNetwork({}, { pools: [] });
    assert.equal(lines.length, 4);
    assert.ok(!lines.some((line) => line.includes('ip address')));
  });

  test('goes with its devices', () => {
    assert.deepEqual(text(subsume(inversePlan(driver.planNetwork(network({}), host())))), [
      'ip route del unreachable 10.244.0.0/16 metric 2147483648',
      'ip link del moor-vx1',
      'rm /local',
    ]);
  });

  test('needs a cluster', () => {
    const { underlay: _, ...alone } = host();
    assert.throws(() => driver.planNetwork(network(), alone), {
      kind: 'unavailable',
      message: 'Cannot set up network pods: this host is in no cluster (--cluster-store, --peers)',
    });
  });

  test('its endpoints and ports are the local driver’s, with the way to the range', () => {
    const join = (part: Partial<Endpoint>, value = network({}, DUAL)): string[] =>
      text(driver.planJoin(value, { endpoint: endpoint(part), netns: '/n' }, host()).changes);
    const ways = [
      'nsenter --net=/n ip route add 10.244.0.0/16 via 10.244.1.1 dev eth0',
      'nsenter --net=/n ip -6 route add fd44::/48 via fd44:0:0:1::1 dev eth0',
    ];
    const [told, ...routes] = join({});
    assert.match(told ?? '', /pods bridge local .*"1430"/);
    assert.deepEqual(routes, ways);
    assert.deepEqual(join({ ipv6: null }).slice(1), ways.slice(0, 1));
    assert.deepEqual(join({}, network({}, { ...DUAL, internal: true })).slice(1), ways);
    assert.match(
      text(driver.planPorts?.(network(), { endpoint: endpoint({}), ports: [] }, host()) ?? [])[0] ?? '',
      /pods bridge local/,
    );
    assert.equal(driver.interfacePrefix(network()), 'bridge');
  });
});

describe('a peer', () => {
  test('host-gw: a route of each family', () => {
    assert.deepEqual(plan(network({ backend: 'host-gw' }, DUAL), peer(SUBNETS)), {
      lines: [
        'ip route add 10.244.2.0/24 via 10.9.0.2 dev eth1 src 10.244.1.1',
        'ip -6 route add fd44:0:0:2::/64 via fd09::2 dev eth1 src fd44:0:0:1::1',
      ],
      trouble: '',
    });
  });

  test('host-gw: on another segment, and without an address of the family, it says so', () => {
    const far = peer({ address: parseIp('10.9.1.2'), addresses: [parseIp('10.9.1.2')], ...SUBNETS });
    assert.deepEqual(plan(network({ backend: 'host-gw' }, DUAL), far), {
      lines: [],
      trouble:
        'n2 (10.9.1.2) is on no network of eth1 (10.9.0.1/24, fd09::1/64): backend host-gw needs all hosts on one layer-2 segment, ' +
        'backends vxlan and udp do not; n2 has no IPv6 address by which fd44:0:0:2::/64 is reached',
    });
    assert.deepEqual(plan(network({ backend: 'host-gw' }), peer(), host(['10.9.0.1/32'])).lines, [], 'a /32 has no neighbours');
  });

  test('vxlan: where the MAC address is, whose it is, and the route', () => {
    assert.deepEqual(plan(network({}, DUAL), peer(SUBNETS)), {
      lines: [
        'bridge fdb append 02:00:00:00:00:24 dev moor-vx1 dst 10.9.0.2 self permanent',
        'ip neigh replace 10.244.2.0 lladdr 02:00:00:00:00:24 dev moor-vx1 nud permanent',
        'ip route add 10.244.2.0/24 via 10.244.2.0 dev moor-vx1 onlink',
        'bridge fdb append 02:00:00:00:00:26 dev moor6vx1 dst fd09::2 self permanent',
        'ip neigh replace fd44:0:0:2:: lladdr 02:00:00:00:00:26 dev moor6vx1 nud permanent',
        'ip -6 route add fd44:0:0:2::/64 via fd44:0:0:2:: dev moor6vx1 onlink',
      ],
      trouble: '',
    });
  });

  test('vxlan: both families over the one that both hosts have', () => {
    const both = { lines: plan(network({}, DUAL), peer({ ...SUBNETS, addresses: [parseIp('10.9.0.2')] })).lines };
    assert.deepEqual(both.lines, [
      'bridge fdb append 02:00:00:00:00:24 dev moor-vx1 dst 10.9.0.2 self permanent',
      'ip neigh replace 10.244.2.0 lladdr 02:00:00:00:00:24 dev moor-vx1 nud permanent',
      'ip route add 10.244.2.0/24 via 10.244.2.0 dev moor-vx1 onlink',
      'ip neigh replace fd44:0:0:2:: lladdr 02:00:00:00:00:24 dev moor-vx1 nud permanent',
      'ip -6 route add fd44:0:0:2::/64 via fd44:0:0:2:: dev moor-vx1 onlink',
    ]);
  });

  test('vxlan: direct routing to who is on the segment, through the VTEP to who is not', () => {
    const direct = network({ 'direct-routing': 'true' });
    assert.deepEqual(plan(direct, peer()).lines, ['ip route add 10.244.2.0/24 via 10.9.0.2 dev eth1 src 10.244.1.1']);
    const far = peer({ address: parseIp('10.9.1.2'), addresses: [parseIp('10.9.1.2')] });
    assert.equal(plan(direct, far).lines.length, 3);
  });

  test('vxlan: one of ours that tells no VTEP, because it stands in a file, has the one that it makes there', () => {
    const { vtep4: _, vtep6: __, ...silent } = peer();
    const [fdb, neighbour] = plan(network(), silent).lines;
    const { vtep4 } = driver.peerData?.(network({}, { id: id('33') }), host(['10.9.0.2/24'], { node: 'n2' })) ?? {};
    assert.ok(vtep4);
    assert.equal(fdb, `bridge fdb append ${vtep4} dev moor-vx1 dst 10.9.0.2 self permanent`);
    assert.equal(neighbour, `ip neigh replace 10.244.2.0 lladdr ${vtep4} dev moor-vx1 nud permanent`);
    // IPv6 goes over IPv4 to who has nothing else.
    const only4 = { ...silent, ...SUBNETS, addresses: [parseIp('10.9.0.2')] };
    assert.ok(plan(network({}, DUAL), only4).lines.every((line) => !line.includes('moor6vx1')));
  });

  test('vxlan: a flanneld that tells no VTEP, and a host of ours that tells of another one', () => {
    const { vtep4: _, ...silent } = peer();
    const { vtep6: __, ...bare } = silent;
    assert.deepEqual(plan(network(), { ...bare, own: false }, host(['10.9.0.1/24'])).lines, []);
    assert.deepEqual(plan(network(), silent, host(['10.9.0.1/24'])), {
      lines: [],
      trouble: 'n2 (10.9.0.2) tells no VTEP that this host could send to',
    });
  });

  test('udp: a route to the device; one of another family is not reached', () => {
    assert.deepEqual(plan(network({ backend: 'udp' }, DUAL), peer(SUBNETS)), {
      lines: ['ip route add 10.244.2.0/24 dev moor-udp0', 'ip -6 route add fd44:0:0:2::/64 dev moor-udp0'],
      trouble: '',
    });
    assert.deepEqual(plan(network({ backend: 'udp' }), peer({ addresses: [parseIp('10.9.0.2')] }), host(['fd09::1/64'])), {
      lines: [],
      trouble: 'n2 (10.9.0.2) has no IPv6 address, and the tunnel of this host is at fd09::1/64',
    });
  });

  test('where the way takes less than the underlay has, its routes say so; IPv6 has its least', () => {
    const paths = { '10.9.0.2': 1400, 'fd09::2': 1300, '10.9.0.3': 68 };
    const facts = (only?: readonly string[]) => host(only, { paths });
    const routes = (backend: string, value: Peer = peer(SUBNETS), only?: readonly string[]): string[] =>
      plan(network({ backend }, DUAL), value, facts(only)).lines.filter((line) => / route /.test(line));
    assert.deepEqual(routes('host-gw'), [
      'ip route add 10.244.2.0/24 via 10.9.0.2 dev eth1 src 10.244.1.1 mtu 1400',
      'ip -6 route add fd44:0:0:2::/64 via fd09::2 dev eth1 src fd44:0:0:1::1 mtu 1300',
    ]);
    assert.deepEqual(routes('vxlan'), [
      'ip route add 10.244.2.0/24 via 10.244.2.0 dev moor-vx1 mtu 1350 onlink',
      'ip -6 route add fd44:0:0:2::/64 via fd44:0:0:2:: dev moor6vx1 mtu 1280 onlink',
    ]);
    assert.deepEqual(routes('udp'), [
      'ip route add 10.244.2.0/24 dev moor-udp0 mtu 1372',
      'ip -6 route add fd44:0:0:2::/64 dev moor-udp0 mtu 1372',
    ]);
    const narrow = peer({ address: parseIp('10.9.0.3'), addresses: [parseIp('10.9.0.3')] });
    assert.deepEqual(routes('vxlan', narrow), ['ip route add 10.244.2.0/24 via 10.244.2.0 dev moor-vx1 mtu 68 onlink']);
    assert.deepEqual(routes('host-gw', peer({ address: parseIp('10.9.0.4'), addresses: [parseIp('10.9.0.4')] })), [
      'ip route add 10.244.2.0/24 via 10.9.0.4 dev eth1 src 10.244.1.1',
    ]);
  });

  test('one that says that it has what this host has: not that, and it says so', () => {
    const both = peer({ subnets: [parsePrefix('10.244.1.0/24'), parsePrefix('10.244.2.0/24')] });
    const { lines, trouble } = plan(network({ backend: 'host-gw' }), both);
    assert.deepEqual(lines, ['ip route add 10.244.2.0/24 via 10.9.0.2 dev eth1 src 10.244.1.1']);
    assert.equal(trouble, 'n2 (10.9.0.2) says that it has 10.244.1.0/24, which this host has');
    const larger = peer({ subnets: [parsePrefix('10.244.0.0/20')] });
    for (const backend of ['host-gw', 'vxlan', 'udp']) assert.deepEqual(plan(network({ backend }), larger).lines, []);
    assert.deepEqual(driver.tunnelOf?.(network({ backend: 'udp' }), [both], host())?.peers[0]?.subnets, ['10.244.2.0/24']);
  });

  test('alloc: nothing', () => {
    assert.deepEqual(plan(network({ backend: 'alloc' }), peer()), { lines: [], trouble: '' });
  });

  test('that is gone: route, neighbour and FDB entry, in that order', () => {
    const { changes } = driver.planPeer?.(network(), peer(), host()) ?? assert.fail();
    assert.deepEqual(text(inversePlan(changes)), [
      'ip route del 10.244.2.0/24 via 10.244.2.0 dev moor-vx1 onlink',
      'ip neigh del 10.244.2.0 dev moor-vx1',
      'bridge fdb del 02:00:00:00:00:24 dev moor-vx1 dst 10.9.0.2 self',
    ]);
  });

  test('ten thousand of them: each has a way of its own, computed in no time that anybody would notice', () => {
    const peers = Array.from({ length: 10_000 }, (_, i) => {
      const address = parseIp(`10.9.${i >> 8}.${i & 255}`);
      return peer({
        node: `n${i}`,
        address,
        addresses: [address],
        subnets: [parsePrefix(`10.${64 + (i >> 8)}.${i & 255}.0/24`)],
      });
    });
    const facts = host(['10.9.255.1/16']);
    for (const [backend, each] of [
      ['host-gw', 1],
      ['vxlan', 3],
      ['udp', 1],
    ] as const) {
      const value = network({ backend }, { ranges: [parsePrefix('10.64.0.0/10')] });
      const lines = peers.flatMap((one) => plan(value, one, facts).lines);
      assert.equal(lines.length, each * peers.length);
      const ways = new Set(lines.filter((line) => line.startsWith('ip route')));
      assert.equal(ways.size, peers.length);
    }
  });
});

describe('what the others are told', () => {
  const part = (...at: Parameters<typeof network>) => driver.peerData?.(network(...at), host());

  test('MAC addresses of the VTEPs: those of the devices, the same each time, others on other hosts and VNIs', () => {
    assert.deepEqual(part({}, DUAL), { vtep4: '4e:ba:a9:66:d5:fc', vtep6: 'de:2c:bd:b5:cd:94' });
    assert.deepEqual(part({}), { vtep4: '4e:ba:a9:66:d5:fc' });
    const macs = [
      part({}, DUAL),
      driver.peerData?.(network({}, DUAL), host(undefined, { node: 'n2' })),
      part({ vni: '2' }, DUAL),
    ];
    assert.equal(new Set(macs.flatMap((each) => [each?.vtep4, each?.vtep6])).size, 6);
    // Made on each host by itself, a network has another id there.
    assert.deepEqual(part({}, { ...DUAL, id: id('1a2b3c4d5e70') }), part({}, DUAL));
  });

  test('the port of the tunnel; else nothing', () => {
    assert.deepEqual(part({ backend: 'udp', port: '9000' }), { port: 9000 });
    for (const backend of ['host-gw', 'alloc']) assert.deepEqual(part({ backend }), {});
  });
});

test('the tunnel', () => {
  const other = peer({ node: 'n3', address: parseIp('fd09::3'), addresses: [parseIp('fd09::3')], own: false });
  assert.deepEqual(driver.tunnelOf?.(network({ backend: 'udp' }), [peer({ ...SUBNETS, port: 9000 }), other], host()), {
    device: 'moor-udp0',
    local: { address: '10.9.0.1', port: 8285 },
    peers: [{ name: 'n2', endpoint: { address: '10.9.0.2', port: 9000 }, ...SUBNETS, own: true }],
    underlay: 'eth1',
  });
  assert.deepEqual(driver.tunnelOf?.(network({ backend: 'udp' }), [other], host(['fd09::1/64']))?.peers, [
    { name: 'n3', endpoint: { address: 'fd09::3', port: 8285 }, subnets: ['10.244.2.0/24'], own: false },
  ]);
  for (const backend of ['vxlan', 'host-gw', 'alloc'])
    assert.equal(driver.tunnelOf?.(network({ backend }), [peer()], host()), null);
});

describe('check', () => {
  const other = (options = {}, name = 'other') => network(options, { id: id('22'), name });

  test('a range', () => {
    assert.throws(() => driver.check(network({}, { ranges: [] }), []), {
      kind: 'invalid',
      message: 'Cannot create network pods: driver routed needs a --subnet, of which each host gets a part',
    });
  });

  test('two networks cannot have one VNI, nor one port', () => {
    const refused = (options: Record<string, string>, beside: Record<string, string>, what: string): void =>
      assert.throws(() => driver.check(network(options), [network(options), other(beside)]), {
        kind: 'conflict',
        message: `Cannot create network pods: network other has ${what}`,
      });
    refused({}, {}, 'VNI 1: choose another one with -o vni=NUMBER');
    refused({}, { port: '4789' }, 'VNI 1: choose another one with -o vni=NUMBER');
    refused({ backend: 'udp' }, { backend: 'udp' }, 'UDP port 8285: choose another one with -o port=NUMBER');
    refused({ backend: 'udp', port: '8472' }, {}, 'UDP port 8472: choose another one with -o port=NUMBER');
  });

  test('others are no conflict', () => {
    driver.check(network(), [network(), other({ vni: '2' }), other({ backend: 'udp' }), { ...other(), driver: 'overlay' }]);
    driver.check(network({ backend: 'host-gw' }), [other({ backend: 'host-gw' }), other({ backend: 'alloc' })]);
  });
});
