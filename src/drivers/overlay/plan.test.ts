import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Change } from '../../contracts/change.ts';
import { describe as line } from '../../contracts/describe.ts';
import { inversePlan, subsume } from '../../contracts/inverse.ts';
import type { Network } from '../../model/network.ts';
import { DUAL, endpoint, facts, ID, network, pool, remote } from './fixture.testing.ts';
import { createOverlayDriver } from './index.ts';

const driver = createOverlayDriver({ instance: { id: '', dataRoot: '/var/lib/moor', execRoot: '/run/moor' } });
const PIN = '/run/moor/netns/1-1a2b3c4d5e';
const INNER = '/run/moor/netns/5a';
const ALIAS = `moor::${ID}`;
const OWN = 'abcdef0123'.padEnd(64, '0') as typeof ID;

/** Without the way into the namespaces. */
const text = (changes: readonly Change[]): string[] =>
  changes.map(line).map((one) => one.replaceAll(`nsenter --net=${PIN} `, '').replaceAll(`nsenter --net=${INNER} `, 'inside: '));
const planned = (part: Partial<Network> = {}, host = facts()): string[] => text(driver.planNetwork(network(part), host));

const BRIDGE = `ip link add br0 address 1a:2b:3c:4d:5e:6f alias ${ALIAS} up type bridge mcast_snooping 0`;
const vxlan = (mtu: number, rest: string): string =>
  `ip link add vxlan0 mtu ${mtu} master br0 alias ${ALIAS} up type vxlan id ${rest} nolearning proxy ` +
  '# with its socket in the namespace of the host && bridge link set dev vxlan0 learning off flood off';

describe('the segment', () => {
  test('a namespace with a bridge, and a VXLAN device on it that neither learns nor floods', () => {
    assert.deepEqual(planned(), [
      `touch ${PIN} && unshare --net=${PIN} ip link set lo up`,
      'sysctl -w net.ipv6.conf.default.disable_ipv6=1',
      BRIDGE,
      vxlan(1450, '4097 dstport 4789 local 10.9.0.1'),
      'ip address add 10.0.0.1/24 dev br0',
    ]);
  });

  test('IPv6: no device has an address of its own, and none takes one from an advertisement', () => {
    assert.deepEqual(planned(DUAL).slice(1, 4), [
      'sysctl -w net.ipv6.conf.default.disable_ipv6=0',
      'sysctl -w net.ipv6.conf.default.addr_gen_mode=1',
      'sysctl -w net.ipv6.conf.default.accept_ra=0',
    ]);
    assert.equal(planned(DUAL).at(-1), 'ip address add fd00::1/64 dev br0 nodad');
  });

  test('the underlay decides how much fits: less 50 bytes over IPv4, less 70 over IPv6, and what the user says instead', () => {
    const option = 'com.docker.network.driver.mtu';
    assert.ok(planned({}, facts(['10.9.0.1/24', 'fd09::1/64'], 9000)).includes(vxlan(8950, '4097 dstport 4789 local 10.9.0.1')));
    assert.ok(planned({}, facts(['fd09::1/64'], 9000)).includes(vxlan(8930, '4097 dstport 4789 local fd09::1')));
    const given = network({}).options;
    assert.ok(planned({ options: { ...given, [option]: '1400' } }).includes(vxlan(1400, '4097 dstport 4789 local 10.9.0.1')));
    // IPv6 needs its least; the tunnel's packets then travel in fragments.
    assert.ok(planned(DUAL, facts(['10.9.0.1/24'], 1300)).includes(vxlan(1280, '4097 dstport 4789 local 10.9.0.1')));
  });

  test('a port and a list of VNIs, of which the first is the one', () => {
    const options = { 'com.docker.network.driver.overlay.vxlanid_list': '5000,5001', port: '8472' };
    assert.ok(planned({ options }).includes(vxlan(1450, '5000 dstport 8472 local 10.9.0.1')));
  });

  test('without gateway, or on a kernel without IPv6, there is less to do', () => {
    const bare = { ...facts(), sysctls: {} };
    assert.deepEqual(planned({ pools: [pool('10.0.0.0/24', null)] }, bare).slice(1), [
      BRIDGE,
      vxlan(1450, '4097 dstport 4789 local 10.9.0.1'),
    ]);
  });

  test('goes with its namespace; before it the device that holds the VNI', () => {
    assert.deepEqual(text(subsume(inversePlan(driver.planNetwork(network(DUAL), facts())))), [
      'ip link del vxlan0',
      `umount ${PIN} && rm ${PIN}`,
    ]);
  });

  test('a host in no cluster is told what to do', () => {
    const { underlay: _, ...alone } = facts();
    assert.throws(() => driver.planNetwork(network(), alone), {
      kind: 'unavailable',
      message: 'Cannot set up network ov_net1: this host is in no cluster: start moord with --cluster-store etcd://HOST:2379',
    });
  });
});

describe('an endpoint of this host', () => {
  const plan = (part: Partial<Network>, ipv6: string | null = null) =>
    driver.planJoin(network(part), { endpoint: endpoint('10.0.0.2/24', ipv6, OWN), netns: INNER }, facts());

  test('a pair of devices; no way out', () => {
    const { changes, gateway4, gateway6 } = plan({});
    assert.deepEqual([gateway4, gateway6], [null, null]);
    assert.deepEqual(text(changes), [
      `ip link add vethabcdef0 mtu 1450 master br0 alias moor::${OWN} up type veth peer name eth0 mtu 1450 address 02:42:0a:00:00:02 netns ${INNER}`,
      'inside: sysctl -w net.ipv6.conf.eth0.disable_ipv6=1',
      'inside: ip address add 10.0.0.2/24 dev eth0',
      'inside: ip link set eth0 up',
    ]);
    assert.deepEqual(text(subsume(inversePlan(changes))), ['ip link del vethabcdef0']);
  });

  test('IPv6', () => {
    assert.deepEqual(text(plan(DUAL, 'fd00::2/64').changes).slice(1), [
      'inside: sysctl -w net.ipv6.conf.eth0.disable_ipv6=0',
      'inside: sysctl -w net.ipv6.conf.eth0.accept_ra=0',
      'inside: ip address add 10.0.0.2/24 dev eth0',
      'inside: ip address add fd00::2/64 dev eth0 nodad',
      'inside: ip link set eth0 up',
    ]);
  });

  test('other subnets of the network are on the same segment', () => {
    const pools = [pool('10.0.0.0/24', null), pool('10.0.1.0/24', null)];
    assert.equal(text(plan({ pools }).changes).at(-1), 'inside: ip route add 10.0.1.0/24 dev eth0');
  });
});

describe('an endpoint of another host', () => {
  const theirs = remote(['10.0.0.3', 'fd00::3'], { hosts: ['10.9.0.2', 'fd09::2'] });
  const plan = (part: typeof theirs, host = facts()): string[] => text(driver.planRemote?.(network(DUAL), part, host) ?? []);

  test('where frames for it go, on the device and on the bridge; then who has the address', () => {
    assert.deepEqual(plan(theirs), [
      'bridge fdb append 02:42:0a:00:00:03 dev vxlan0 dst 10.9.0.2 self permanent',
      'bridge fdb append 02:42:0a:00:00:03 dev vxlan0 master static',
      'ip neigh replace 10.0.0.3 lladdr 02:42:0a:00:00:03 dev vxlan0 nud permanent',
      'ip neigh replace fd00::3 lladdr 02:42:0a:00:00:03 dev vxlan0 nud permanent',
    ]);
  });

  test('over the family that this host uses; none of it when the other host has none, or tells no MAC address', () => {
    assert.match(plan(theirs, facts(['fd09::1/64']))[0] ?? '', / dst fd09::2 /);
    assert.deepEqual(plan(remote(['10.0.0.3'], { hosts: ['fd09::2'] })), []);
    assert.deepEqual(plan({ ...theirs, mac: null }), []);
  });

  test('is announced by address', () => {
    assert.deepEqual(text(driver.planAnnounce?.(network(DUAL), theirs, facts()) ?? []), [
      ': send from br0 # gratuitous ARP reply: 10.0.0.3 is at 02:42:0a:00:00:03',
      ': send from br0 # unsolicited neighbour advertisement: fd00::3 is at 02:42:0a:00:00:03',
    ]);
  });
});

describe('check', () => {
  const other = (part: Partial<Network> = {}): Network => network({ id: 'f'.repeat(64) as typeof ID, name: 'other', ...part });
  const options = network().options;

  test('one VNI of a port is one network’s', () => {
    assert.throws(() => driver.check(network(), [other()]), {
      kind: 'conflict',
      message: 'Cannot create network ov_net1: network other has VNI 4097',
    });
    driver.check(network(), [network(), other({ options: { ...options, port: '8472' } })]);
    driver.check(network({ options: {} }), [other({ options: {} })]);
  });

  test('encrypted is refused, with what to do instead', () => {
    for (const encrypted of ['', 'true'])
      assert.throws(() => driver.check(network({ options: { ...options, encrypted } }), []), {
        kind: 'unsupported',
        message: /^Cannot create network ov_net1: option encrypted is not supported: .*--cluster-advertise/,
      });
    driver.check(network({ options: { ...options, encrypted: 'false' } }), []);
  });

  test('options that nobody knows, and values that cannot be', () => {
    const vnis = 'com.docker.network.driver.overlay.vxlanid_list';
    for (const [key, value, message] of [
      ['colour', 'red', /^unknown option colour for driver overlay: the known ones are .*vxlanid_list/],
      [vnis, '0', /it must be numbers, with commas between them, from 1 to 16777215$/],
      [vnis, '16777216', /16777215/],
      [vnis, '4097,', /invalid value "" for option/],
      ['port', '65536', /it must be a number from 1 to 65535$/],
      ['com.docker.network.driver.mtu', '67', /it must be a number of bytes from 68 to 65465$/],
      ['com.docker.network.container_iface_prefix', '0eth', /the first one a letter or '_'$/],
    ] as const)
      assert.throws(() => driver.check(network({ options: { [key]: value } }), []), { kind: 'invalid', message });
    const mtu = { ...options, 'com.docker.network.driver.mtu': '1279' };
    driver.check(network({ options: mtu }), []);
    assert.throws(() => driver.check(network({ ...DUAL, options: mtu }), []), { message: /from 1280 to/ });
    assert.equal(driver.interfacePrefix(network({ options: { 'com.docker.network.container_iface_prefix': 'net' } })), 'net');
  });

  test('an internal network needs no way out', () => {
    assert.equal(driver.needsWayOut?.(network()), true);
    assert.equal(driver.needsWayOut?.(network({ internal: true })), false);
  });
});
