/**
 * The part of the table that publishes ports: maps from a port of the host to a port of a sandbox, and the rules that ask them. The
 * rules never change; a port is an element, and so is a range whose numbers are the same on both sides.
 *
 * Single ports are in hash maps. Ranges are in interval maps, of which the kernel makes a copy with each transaction that adds to one
 * (nft_set_pipapo), so only what needs them is there. They map to an address alone: then NAT keeps the port of the packet.
 */
import type { NftChain, NftRule, NftSet } from '../../nft/types.ts';

/** The four maps of a family, in the order in which they are asked: an address of the host that is named goes before any address. */
export const MAPS = {
  4: { portAt: 'port4_at', rangeAt: 'range4_at', port: 'port4', range: 'range4' },
  6: { portAt: 'port6_at', rangeAt: 'range6_at', port: 'port6', range: 'range6' },
} as const;

/** Ports of sandboxes that are open at the sandbox's own address. */
export const OPEN = {
  4: { port: 'open4', range: 'open_range4' },
  6: { port: 'open6', range: 'open_range6' },
} as const;

const rule = (comment: string, expr: string): NftRule => ({ expr, comment });

const FAMILIES = [
  { maps: MAPS[4], open: OPEN[4], ip: 'ip', address: 'ipv4_addr' },
  { maps: MAPS[6], open: OPEN[6], ip: 'ip6', address: 'ipv6_addr' },
] as const;

export const PORT_SETS: readonly NftSet[] = [
  ...FAMILIES.flatMap(({ maps, address }): NftSet[] => [
    { name: maps.portAt, key: `inet_proto . ${address} . inet_service`, value: `${address} . inet_service` },
    { name: maps.rangeAt, key: `inet_proto . ${address} . inet_service`, value: address, flags: ['interval'] },
    { name: maps.port, key: 'inet_proto . inet_service', value: `${address} . inet_service` },
    { name: maps.range, key: 'inet_proto . inet_service', value: address, flags: ['interval'] },
  ]),
  ...FAMILIES.flatMap(({ open, address }): NftSet[] => [
    { name: open.port, key: `inet_proto . ${address} . inet_service` },
    { name: open.range, key: `inet_proto . ${address} . inet_service`, flags: ['interval'] },
  ]),
  { name: 'direct', key: 'nf_proto . ifname', value: 'verdict' },
  { name: 'trusted', key: 'ifname . ifname' },
  { name: 'unanswered', key: 'ipv6_addr' },
];

/** Only what is meant for the host itself. NAT chains see the first packet of a connection, and no other. */
const LOOK_UP = rule('to an address of the host', 'fib daddr type local goto published');

export const PORT_CHAINS: readonly NftChain[] = [
  {
    // With `route_localnet` a bridge takes packets for 127.0.0.0/8 (see ports.ts). No such packet may come from a wire (RFC 1122
    // section 3.2.1.3), and without this neighbours would reach what is published on 127.0.0.1 (CVE-2020-8558), as routing, which knows better, comes
    // after translation. Before every translation, and of first packets alone, as forwarded packets would all pay for a chain that sees them all.
    // What says that it belongs to a connection meets `localhost` or the chain `forward`.
    name: 'outside',
    hook: { type: 'nat', hook: 'prerouting', priority: 'dstnat - 10', policy: 'accept' },
    rules: [
      rule('to localhost from elsewhere', 'ip daddr 127.0.0.0/8 iifname != "lo" drop'),
      rule('as localhost from elsewhere', 'ip saddr 127.0.0.0/8 iifname != "lo" drop'),
    ],
  },
  {
    name: 'prerouting',
    hook: { type: 'nat', hook: 'prerouting', priority: 'dstnat', policy: 'accept' },
    rules: [LOOK_UP],
  },
  {
    // What the host's own programs send. NF_IP_PRI_NAT_DST, which nft 1.0.6 has no name for in this hook.
    name: 'output',
    hook: { type: 'nat', hook: 'output', priority: '-100', policy: 'accept' },
    rules: [rule('refused at once, not answered in vain', 'ip6 daddr @unanswered return'), LOOK_UP],
  },
  {
    name: 'published',
    rules: FAMILIES.flatMap(({ maps, ip }) => [
      rule(`${ip}: port of one address`, `dnat ${ip} to meta l4proto . ${ip} daddr . th dport map @${maps.portAt}`),
      rule(`${ip}: range of one address`, `dnat ${ip} to meta l4proto . ${ip} daddr . th dport map @${maps.rangeAt}`),
      rule(`${ip}: port of any address`, `dnat ${ip} to meta l4proto . th dport map @${maps.port}`),
      rule(`${ip}: range of any address`, `dnat ${ip} to meta l4proto . th dport map @${maps.range}`),
    ]),
  },
  {
    // Into a network of ours, where the source is kept, but for two clients whose answers would not come back through the host.
    name: 'inward',
    rules: [
      rule('back into its network', 'ct status dnat iifname . oifname @same masquerade'),
      // br_netfilter calls this hook without an input device, and so does what the host itself sends.
      rule('the same, bridged', 'ct status dnat iif 0 fib saddr type != local masquerade'),
      rule('from localhost', 'ip saddr 127.0.0.0/8 masquerade'),
      rule('from localhost, IPv6', 'ip6 saddr ::1 masquerade'),
    ],
  },
  {
    // gateway_mode=routed. Errors about a connection are part of it; this is for ping.
    name: 'routed',
    rules: [
      rule('ping', 'icmp type echo-request goto pass'),
      rule('ping, IPv6', 'icmpv6 type echo-request goto pass'),
      rule('published ports', 'goto open'),
    ],
  },
  {
    // Published ports, asked for at the sandbox's own address.
    name: 'open',
    rules: [
      ...FAMILIES.flatMap(({ open, ip }) => [
        rule(`${ip}: port`, `meta l4proto . ${ip} daddr . th dport @${open.port} goto pass`),
        rule(`${ip}: range`, `meta l4proto . ${ip} daddr . th dport @${open.range} goto pass`),
      ]),
      rule('not published', 'drop'),
    ],
  },
  {
    // gateway_mode=nat-unprotected
    name: 'unprotected',
    rules: [rule('networks stay apart', 'iifname @bridges drop'), rule('whoever has a route', 'goto pass')],
  },
];

/** Only once a bridge may take packets for 127.0.0.0/8: every packet for the host pays for them, those of tunnels among them. */
export const LOCALHOST_CHAINS: readonly NftChain[] = [
  {
    // Every packet that routing delivers here. Only what answers a masqueraded client has its address by now: on the wire it had the bridge's, and
    // no packet with 127.0.0.0/8 on the wire is a reply of such a connection.
    name: 'localhost',
    hook: { type: 'filter', hook: 'input', priority: 'filter - 10', policy: 'accept' },
    rules: [
      rule('to localhost from elsewhere', 'ip daddr 127.0.0.0/8 iifname != "lo" goto answered'),
      rule('as localhost from elsewhere', 'ip saddr 127.0.0.0/8 iifname != "lo" goto answered'),
    ],
  },
  {
    name: 'answered',
    rules: [rule('to a masqueraded client', 'ct direction reply ct status snat accept'), rule('not asked for', 'drop')],
  },
];
