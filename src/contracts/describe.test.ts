import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIfAddress, parseIp, parsePrefix } from '../base/ip.ts';
import { parseMac } from '../base/mac.ts';
import type { Change } from './change.ts';
import { HOST } from './change.ts';
import { describe } from './describe.ts';
import { inverse, inversePlan, subsume } from './inverse.ts';

const NS = '/run/moor/netns/xyz';
const ip = parseIp;
const MAC = parseMac('02:42:0a:00:00:05');
const TABLE = { family: 'inet', name: 'moor' } as const;
const veth = {
  name: 'veth1a2b3c4',
  up: true,
  mtu: 1500,
  master: 'br-abc',
  kind: { type: 'veth', peer: { name: 'eth0', netns: NS, mac: MAC, mtu: 1500 } },
} as const;
const link = (value: Extract<Change, { kind: 'link' }>['link'], netns = HOST): Change => ({
  kind: 'link',
  op: 'add',
  netns,
  link: value,
});
const address = (text: string, netns = HOST, device = 'br-abc'): Change => ({
  kind: 'address',
  op: 'add',
  netns,
  device,
  address: parseIfAddress(text),
});

/** Each change, its line, and the line of its inverse. */
const GOLDEN: readonly (readonly [Change, string, string | null])[] = [
  [{ kind: 'netns', op: 'add', path: NS }, `touch ${NS} && unshare --net=${NS} ip link set lo up`, `umount ${NS} && rm ${NS}`],
  [
    { kind: 'netns-pin', op: 'add', path: NS, source: '/proc/42/ns/net' },
    `touch ${NS} && mount --bind /proc/42/ns/net ${NS}`,
    `umount ${NS} && rm ${NS}`,
  ],
  [
    link({ name: 'br-abc', up: true, alias: 'moor:1:abc', kind: { type: 'bridge', multicastSnooping: false, forwardDelay: 0 } }),
    'ip link add br-abc alias moor:1:abc up type bridge mcast_snooping 0 forward_delay 0',
    'ip link del br-abc',
  ],
  [
    link({ name: 'br-in', up: true, kind: { type: 'bridge' }, group: 7 }),
    'ip link add br-in group 7 up type bridge',
    'ip link del br-in',
  ],
  [
    link(veth),
    `ip link add veth1a2b3c4 mtu 1500 master br-abc up type veth peer name eth0 mtu 1500 address 02:42:0a:00:00:05 netns ${NS}`,
    'ip link del veth1a2b3c4',
  ],
  [
    link({ ...veth, isolated: true, hairpin: false }),
    `ip link add veth1a2b3c4 mtu 1500 master br-abc up type veth peer name eth0 mtu 1500 address 02:42:0a:00:00:05 netns ${NS} && bridge link set dev veth1a2b3c4 isolated on hairpin off`,
    'ip link del veth1a2b3c4',
  ],
  [
    link({ name: 'a', up: false, kind: { type: 'veth', peer: { name: 'b', netns: NS } } }, NS),
    `nsenter --net=${NS} ip link add a type veth peer name b`,
    `nsenter --net=${NS} ip link del a`,
  ],
  [
    link({
      name: 'vx1',
      up: true,
      kind: { type: 'vxlan', vni: 7, port: 4789, local: ip('10.0.0.1'), device: 'eth0', learning: false, proxy: true },
    }),
    'ip link add vx1 up type vxlan id 7 dstport 4789 local 10.0.0.1 dev eth0 nolearning proxy',
    'ip link del vx1',
  ],
  [
    link({ name: 'm0', up: true, kind: { type: 'macvlan', parent: 'eth0', mode: 'bridge' } }),
    'ip link add m0 link eth0 up type macvlan mode bridge',
    'ip link del m0',
  ],
  [
    link({ name: 'tun0', up: true, mtu: 1400, kind: { type: 'tun' } }),
    'ip tuntap add dev tun0 mode tun && ip link set tun0 mtu 1400 up',
    'ip tuntap del dev tun0 mode tun',
  ],
  [
    {
      kind: 'link-set',
      netns: HOST,
      name: 'eth1',
      value: { up: true, mtu: 9000, master: 'br0' },
      old: { up: false, mtu: 1500, master: '' },
    },
    'ip link set eth1 mtu 9000 master br0 up',
    'ip link set eth1 mtu 1500 nomaster down',
  ],
  [
    { kind: 'link-set', netns: HOST, name: 'br-in', value: { group: 7 }, old: { group: 0 } },
    'ip link set br-in group 7',
    'ip link set br-in group 0',
  ],
  [
    { kind: 'link-set', netns: NS, name: 'eth1', value: { isolated: true }, old: { isolated: false } },
    `nsenter --net=${NS} bridge link set dev eth1 isolated on`,
    `nsenter --net=${NS} bridge link set dev eth1 isolated off`,
  ],
  [
    { kind: 'address', op: 'add', netns: HOST, device: 'br-abc', address: parseIfAddress('fd00::1/64'), nodad: true },
    'ip address add fd00::1/64 dev br-abc nodad',
    'ip address del fd00::1/64 dev br-abc',
  ],
  [
    {
      kind: 'route',
      op: 'add',
      netns: NS,
      route: { destination: parsePrefix('0.0.0.0/0'), via: ip('10.0.0.1'), device: 'eth0' },
    },
    `nsenter --net=${NS} ip route add default via 10.0.0.1 dev eth0`,
    `nsenter --net=${NS} ip route del default via 10.0.0.1 dev eth0`,
  ],
  [
    {
      kind: 'route',
      op: 'add',
      netns: HOST,
      route: {
        destination: parsePrefix('fd00::/8'),
        type: 'blackhole',
        metric: 5,
        table: 100,
        scope: 'global',
        onlink: true,
        source: ip('fd00::1'),
      },
    },
    'ip -6 route add blackhole fd00::/8 src fd00::1 metric 5 scope global table 100 onlink',
    'ip -6 route del blackhole fd00::/8 src fd00::1 metric 5 scope global table 100 onlink',
  ],
  [
    {
      kind: 'rule',
      op: 'add',
      netns: HOST,
      rule: { family: 4, priority: 10, table: 100, from: parsePrefix('10.0.0.0/8'), iif: 'eth0', fwmark: 5 },
    },
    'ip rule add priority 10 from 10.0.0.0/8 iif eth0 fwmark 5 lookup 100',
    'ip rule del priority 10 from 10.0.0.0/8 iif eth0 fwmark 5 lookup 100',
  ],
  [
    { kind: 'rule', op: 'add', netns: HOST, rule: { family: 6, priority: 10, table: 254, suppressPrefixLength: 0 } },
    'ip -6 rule add priority 10 lookup 254 suppress_prefixlength 0',
    'ip -6 rule del priority 10 lookup 254 suppress_prefixlength 0',
  ],
  [
    {
      kind: 'route',
      op: 'add',
      netns: HOST,
      route: { type: 'local', destination: parsePrefix('::1/128'), device: 'br0', metric: 7 },
    },
    'ip -6 route add local ::1/128 dev br0 metric 7 table main',
    'ip -6 route del local ::1/128 dev br0 metric 7 table main',
  ],
  [
    {
      kind: 'neighbour',
      op: 'add',
      netns: HOST,
      neighbour: { device: 'vx1', address: ip('10.0.0.5'), mac: MAC, state: 'permanent' },
    },
    'ip neigh replace 10.0.0.5 lladdr 02:42:0a:00:00:05 dev vx1 nud permanent',
    'ip neigh del 10.0.0.5 dev vx1',
  ],
  [
    { kind: 'fdb', op: 'add', netns: HOST, entry: { device: 'vx1', mac: MAC, destination: ip('192.0.2.1') } },
    'bridge fdb append 02:42:0a:00:00:05 dev vx1 dst 192.0.2.1 self permanent',
    'bridge fdb del 02:42:0a:00:00:05 dev vx1 dst 192.0.2.1 self',
  ],
  [
    { kind: 'fdb', op: 'add', netns: HOST, entry: { device: 'p1', mac: MAC } },
    'bridge fdb append 02:42:0a:00:00:05 dev p1 master static',
    'bridge fdb del 02:42:0a:00:00:05 dev p1 master',
  ],
  [
    { kind: 'sysctl', netns: HOST, key: 'net/ipv4/ip_forward', value: '1', old: '0' },
    'sysctl -w net.ipv4.ip_forward=1',
    'sysctl -w net.ipv4.ip_forward=0',
  ],
  [
    { kind: 'sysctl', netns: NS, key: 'net/ipv4/conf/eth0.7/forwarding', value: '1', old: null },
    `nsenter --net=${NS} sysctl -w net/ipv4/conf/eth0.7/forwarding=1`,
    null,
  ],
  [
    { kind: 'sysctl', netns: HOST, key: 'net/ipv4/ping_group_range', value: '0 1', old: null },
    "sysctl -w 'net.ipv4.ping_group_range=0 1'",
    null,
  ],
  [
    {
      kind: 'nft-table',
      op: 'add',
      table: {
        ...TABLE,
        sets: [{ name: 's', key: 'ifname' }],
        chains: [
          { name: 'c', rules: [{ expr: 'drop', comment: 'x' }] },
          { name: 'd', rules: [] },
        ],
      },
    },
    'nft add table inet moor # 1 set, 2 chains, 1 rule',
    'nft delete table inet moor',
  ],
  [
    { kind: 'nft-table', op: 'add', table: { family: 'ip', name: 'inner', sets: [], chains: [] }, netns: NS },
    `nsenter --net=${NS} nft add table ip inner # 0 sets, 0 chains, 0 rules`,
    `nsenter --net=${NS} nft delete table ip inner`,
  ],
  [
    { kind: 'nft-element', op: 'add', table: TABLE, element: { set: 'within', key: '"br-a" . "br-a"', value: 'accept' } },
    'nft add element inet moor within { "br-a" . "br-a" : accept }',
    'nft delete element inet moor within { "br-a" . "br-a" }',
  ],
  [
    {
      kind: 'nft-rule',
      op: 'add',
      family: 'ip',
      table: 'filter',
      chain: 'DOCKER-USER',
      rule: { expr: 'accept', comment: 'moor' },
    },
    'nft insert rule ip filter DOCKER-USER accept comment "moor"',
    'nft delete rule ip filter DOCKER-USER # accept comment "moor"',
  ],
  [
    { kind: 'file', path: '/run/x', value: 'a b\n', old: null, mode: 0o644 },
    "printf 'a b\\n' > /run/x && chmod 0644 /run/x",
    'rm /run/x',
  ],
  [{ kind: 'file', path: '/run/x', value: "it's", old: 'x' }, 'cat > /run/x # 4 bytes', "printf 'x' > /run/x"],
  [
    {
      kind: 'conntrack',
      tuple: { family: 4, protocol: 'udp', destination: ip('192.0.2.1'), destinationPort: 53, replySource: ip('10.0.0.5') },
    },
    'conntrack -D -f ipv4 -p udp -d 192.0.2.1 --dport 53 -r 10.0.0.5',
    null,
  ],
];

for (const [change, line, undo] of GOLDEN) {
  test(`describe: ${line}`, () => {
    assert.equal(describe(change), line);
    const back = inverse(change);
    assert.equal(back && describe(back), undo);
    // Twice inverted is the same, but for what cannot be inverted.
    if (back) assert.deepEqual(inverse(back), change);
  });
}

test('inversePlan: newest first, only what changed', () => {
  const changes = [
    address('10.0.0.1/24'),
    { kind: 'conntrack', tuple: { family: 4 } } as const,
    address('10.0.1.1/24'),
    address('10.0.2.1/24'),
  ];
  const lines = (plan: readonly Change[]): string[] => plan.map(describe);
  assert.deepEqual(lines(inversePlan(changes)), [
    'ip address del 10.0.2.1/24 dev br-abc',
    'ip address del 10.0.1.1/24 dev br-abc',
    'ip address del 10.0.0.1/24 dev br-abc',
  ]);
  const applied = [{ state: 'changed' }, { state: 'changed' }, { state: 'already' }, { state: 'skipped' }] as const;
  assert.deepEqual(lines(inversePlan(changes, applied)), ['ip address del 10.0.0.1/24 dev br-abc']);
});

test('subsume: what a removed namespace, device or table implies is dropped', () => {
  const element: Change = { kind: 'nft-element', op: 'add', table: TABLE, element: { set: 'within', key: '"a"' } };
  const inside: readonly Change[] = [
    address('10.0.0.5/24', NS, 'eth0'),
    {
      kind: 'route',
      op: 'add',
      netns: NS,
      route: { destination: parsePrefix('0.0.0.0/0'), via: ip('10.0.0.1'), device: 'eth0' },
    },
    { kind: 'sysctl', netns: NS, key: 'net/ipv6/conf/eth0/disable_ipv6', value: '0', old: '1' },
    { kind: 'rule', op: 'add', netns: NS, rule: { family: 4, priority: 1, table: 7 } },
  ];
  const lines = (plan: readonly Change[]): string[] => subsume(inversePlan(plan)).map(describe);

  // The pair goes: its far end's addresses and routes go too; a rule of that namespace, and elements, do not.
  assert.deepEqual(lines([link(veth), ...inside, element]), [
    'nft delete element inet moor within { "a" }',
    `nsenter --net=${NS} ip rule del priority 1 lookup 7`,
    'ip link del veth1a2b3c4',
  ]);
  // The namespace goes: all inside goes; the host's end is still deleted by name.
  assert.deepEqual(lines([{ kind: 'netns', op: 'add', path: NS }, link(veth), ...inside]), [
    'ip link del veth1a2b3c4',
    `umount ${NS} && rm ${NS}`,
  ]);
  // Only a pin goes: its namespace lives on.
  assert.equal(lines([{ kind: 'netns-pin', op: 'add', path: NS, source: '/proc/1/ns/net' }, ...inside]).length, 5);
  // A bridge goes with its address, not with another device's; a table with its elements.
  assert.deepEqual(
    lines([
      { kind: 'nft-table', op: 'add', table: { ...TABLE, sets: [], chains: [] } },
      link({ name: 'br-abc', up: true, kind: { type: 'bridge' } }),
      address('10.0.0.1/24'),
      address('10.9.0.1/24', HOST, 'eth0'),
      element,
    ]),
    ['ip address del 10.9.0.1/24 dev eth0', 'ip link del br-abc', 'nft delete table inet moor'],
  );
  // A table inside a namespace goes with it, and takes nothing of the host's table of the same name along.
  const inner: Change = { kind: 'nft-table', op: 'add', table: { ...TABLE, sets: [], chains: [] }, netns: NS };
  assert.deepEqual(lines([{ kind: 'netns', op: 'add', path: NS }, inner, element]), [
    'nft delete element inet moor within { "a" }',
    `umount ${NS} && rm ${NS}`,
  ]);
  assert.deepEqual(lines([inner, element]), [
    'nft delete element inet moor within { "a" }',
    `nsenter --net=${NS} nft delete table inet moor`,
  ]);
  // Both ends named: one message.
  const far: Change = link({ name: 'eth0', up: true, kind: { type: 'veth', peer: { name: 'veth1a2b3c4', netns: HOST } } }, NS);
  assert.deepEqual(lines([far, link(veth)]), ['ip link del veth1a2b3c4']);
  // A pair from a namespace that goes to one that stays keeps its removal: it would linger for a while.
  const away: Change = link({ name: 'x', up: true, kind: { type: 'veth', peer: { name: 'y', netns: HOST } } }, NS);
  assert.deepEqual(lines([{ kind: 'netns', op: 'add', path: NS }, away]), [
    `nsenter --net=${NS} ip link del x`,
    `umount ${NS} && rm ${NS}`,
  ]);
});

test('what has nothing to go back to has no inverse', () => {
  assert.equal(inverse({ kind: 'link-set', netns: HOST, name: 'veth0', value: { hairpin: true }, old: {} }), null);
  assert.equal(inverse({ kind: 'sysctl', netns: HOST, key: 'net/ipv4/ip_forward', value: '1', old: null }), null);
});
