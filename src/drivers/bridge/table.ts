/**
 * The nftables table of an instance, and the elements that fill it. The rules never change; a network is a handful of elements,
 * so a packet costs the same three hash lookups with one network and with a thousand. README.md walks through it.
 *
 * Everything is keyed by interface name, nothing by address: an address says where a packet claims to come from, the interface
 * where it does come from. Names, not indexes, so that elements may be there before the bridge and outlive it.
 */
import { type Family, familyOf, type Prefix } from '../../base/ip.ts';
import type { Change } from '../../contracts/change.ts';
import { quoteIfname } from '../../nft/names.ts';
import type { NftElement, NftRule, NftTable, NftTableRef } from '../../nft/types.ts';
import { LOCALHOST_CHAINS, PORT_CHAINS, PORT_SETS } from './ports-table.ts';

/**
 * The mark bit of a packet that this table lets pass, for firewalls that look after us. Bit 12: the lower half is where
 * administrators and IPVS count upwards from, 13 is the CNI portmap plugin's, 14 and 15 are Kubernetes', 16 to 31 are shared by
 * Calico, Weave Net and Tailscale (github.com/fwmark/registry; only Cilium, which takes every bit of a host, claims 12 too).
 * A sandbox cannot set it: the kernel clears the mark of a packet that changes its network namespace (skb_scrub_packet()).
 */
export const MARK = '0x00001000';

/** The condition on that mark, in the one form that nft 1.0.6 prints and iptables-nft 1.8.9 can list as `-m mark`. */
export const MARKED = `meta mark & ${MARK} == ${MARK}`;

/**
 * The same bit of a connection's mark: packets in both directions have been let pass, so that what follows is asked nothing more. It is set by the
 * first packet after an answer that connects nothing any more, and holds no longer than the connection.
 */
const SETTLED = `ct mark & ${MARK} == ${MARK}`;

/**
 * Of bridges whose packets are judged one by one, whatever connection they say they belong to: IFLA_GROUP, "moor" in ASCII. A sandbox chooses its
 * addresses and ports, and so could speak as a connection of another network that has a way out.
 */
export const GUARDED = 0x6d6f6f72;

const rule = (comment: string, expr: string): NftRule => ({ expr, comment });

/** Networks that span hosts, by bridge, and the range that they share. A handful at most, so that the price of interval sets does not matter. */
const RANGE = { 4: 'members4', 6: 'members6' } as const;
/** All those ranges. */
const SPANNED = { 4: 'spanned4', 6: 'spanned6' } as const;

/** Before `filter`: the mark must be set when chains of others look. Their drop is final whatever we say, and ours is too. */
const FORWARD_PRIORITY = 'filter - 10';

/**
 * @param options.followed others' rules look at forwarded packets, and may ask for the mark: it costs 1 to 2 % of what a stream carries, so it is set on packets
 * of settled connections only then. All others always have it. The comment differs, as it is by comments that a rule is known.
 * @param options.localhost ports are published where programs of the host reach them by 127.0.0.0/8
 */
export function baseTable(
  ref: NftTableRef,
  { followed = false, localhost = false }: { readonly followed?: boolean; readonly localhost?: boolean } = {},
): NftTable {
  const settled = `${SETTLED} iifgroup != ${GUARDED} oifgroup != ${GUARDED}`;
  return {
    ...ref,
    sets: [
      { name: 'within', key: 'ifname . ifname', value: 'verdict' },
      { name: 'leaving', key: 'ifname', value: 'verdict' },
      { name: 'entering', key: 'ifname', value: 'verdict' },
      { name: 'foreign', key: 'nf_proto', value: 'verdict' },
      { name: 'bridges', key: 'ifname' },
      { name: 'masqueraded', key: 'nf_proto . ifname' },
      { name: 'uplink', key: 'ifname' },
      { name: 'same', key: 'ifname . ifname' },
      { name: RANGE[4], key: 'ifname . ipv4_addr', flags: ['interval'] },
      { name: RANGE[6], key: 'ifname . ipv6_addr', flags: ['interval'] },
      { name: SPANNED[4], key: 'ipv4_addr', flags: ['interval'] },
      { name: SPANNED[6], key: 'ipv6_addr', flags: ['interval'] },
      ...PORT_SETS,
    ],
    chains: [
      {
        name: 'forward',
        hook: { type: 'filter', hook: 'forward', priority: FORWARD_PRIORITY, policy: 'accept' },
        rules: [
          // Nearly every packet. Integers are compared, and no names: each look-up by name costs more than all of it.
          followed
            ? rule('connections that were let pass', `${settled} meta mark set meta mark | ${MARK} accept`)
            : rule('connections that were let pass, and nobody asks more', `${settled} accept`),
          // A packet of a connection of the host's own that a sandbox made up: see `outside`.
          rule('as localhost from elsewhere', 'ip saddr 127.0.0.0/8 drop'),
          rule('TCP that connects', 'tcp flags syn jump connect'),
          // In and out by one bridge: a frame between two ports, shown to us by br_netfilter, or a packet routed back.
          rule('inside one network', 'iifname . oifname vmap @within'),
          rule('out of a network of ours', 'iifname vmap @leaving'),
          rule('into a network of ours', 'oifname vmap @entering'),
          rule('nothing of ours', 'meta nfproto vmap @foreign'),
        ],
      },
      {
        // To other hosts of a network, in either direction: a way that takes less than the underlay has an MTU on its route (drivers/routed), and whoever
        // keeps ICMP out would never hear of it otherwise. The rule never makes a segment larger.
        name: 'connect',
        rules: [
          rule('ip: as large as the path takes', `ip daddr @${SPANNED[4]} tcp option maxseg size set rt mtu`),
          rule('ip6: as large as the path takes', `ip6 daddr @${SPANNED[6]} tcp option maxseg size set rt mtu`),
        ],
      },
      {
        name: 'leave',
        rules: [
          // Decided by their first packet, and most of what goes out: it need not pass the rules below one by one.
          rule('connections that are there', 'ct state established,related goto settle'),
          rule('to another network of ours', 'oifname vmap @entering'),
          // On another host: masqueraded it would come there with an address that is let in.
          rule('ip: into a range of others', `ct state new ip daddr @${SPANNED[4]} iifname . ip daddr != @${RANGE[4]} drop`),
          rule('ip6: into a range of others', `ct state new ip6 daddr @${SPANNED[6]} iifname . ip6 daddr != @${RANGE[6]} drop`),
          // A bridge that is not ours and not the uplink is another tool's network. Unmarked, so that its owner decides, who may count
          // on a host that does not forward.
          rule('not forwarded before us', 'meta oifkind "bridge" oifname != @uplink meta nfproto vmap @foreign'),
          rule('to a network of another tool', 'meta oifkind "bridge" oifname != @uplink accept'),
          rule('to the world', 'goto pass'),
        ],
      },
      {
        name: 'enter',
        rules: [
          rule('answers', 'ct state established,related goto settle'),
          rule('published ports', 'ct status dnat goto pass'),
          rule('from another host of the network', 'jump members'),
          // Only of networks that are not `nat`.
          rule('to a gateway of another mode', 'meta nfproto . oifname vmap @direct'),
          rule('from a trusted interface', 'iifname . oifname @trusted goto open'),
          rule('uninvited', 'drop'),
        ],
      },
      {
        // A network that spans hosts: who is in its range is in the network. An address is not enough, as its sender chooses it: the packet must come
        // by the device by which an answer would go (RFC 3704 section 2.2), and those routes are the driver's.
        name: 'members',
        rules: [
          rule('ip: a member', `oifname . ip saddr @${RANGE[4]} fib saddr . iif oif exists goto pass`),
          rule('ip6: a member', `oifname . ip6 saddr @${RANGE[6]} fib saddr . iif oif exists goto pass`),
        ],
      },
      {
        // Internal, and spans hosts.
        name: 'leave_inside',
        rules: [
          rule('networks stay apart', 'oifname @bridges drop'),
          rule('ip: to a member', `iifname . ip daddr @${RANGE[4]} goto pass`),
          rule('ip6: to a member', `iifname . ip6 daddr @${RANGE[6]} goto pass`),
          rule('no way out', 'drop'),
        ],
      },
      { name: 'enter_inside', rules: [rule('from another host of the network', 'jump members'), rule('no way in', 'drop')] },
      {
        // enable_icc=false. Port isolation keeps frames apart below us; this is for what is routed back into the bridge.
        name: 'isolated',
        rules: [rule('published ports', 'ct status dnat goto pass'), rule('endpoints kept apart', 'drop')],
      },
      {
        name: 'closed',
        rules: [
          // Frames between ports of a bridged uplink (virtual machines), shown to us by br_netfilter.
          rule('inside a bridged uplink', 'iifname @uplink oifname @uplink accept'),
          rule('from a network of another tool', 'meta iifkind "bridge" iifname != @uplink iifname != @bridges accept'),
          rule('answers', 'ct state established,related accept'),
          // Docker leaves its policy at accept when it finds forwarding on: its unpublished ports are ours to keep closed then.
          rule('to what another tool publishes', 'meta oifkind "bridge" oifname != @uplink ct status dnat accept'),
          rule('was not forwarded before us', 'drop'),
        ],
      },
      {
        name: 'settle',
        rules: [
          // The answer to a SYN, too, has to come to `connect`, also when it is sent again.
          rule('TCP that connects', 'tcp flags syn goto pass'),
          rule('ask no more', `ct state established ct mark set ct mark | ${MARK}`),
          rule('nothing forbids it', 'goto pass'),
        ],
      },
      {
        name: 'pass',
        rules: [rule('tell later chains', `meta mark set meta mark | ${MARK}`), rule('nothing forbids it', 'accept')],
      },
      {
        name: 'postrouting',
        hook: { type: 'nat', hook: 'postrouting', priority: 'srcnat', policy: 'accept' },
        rules: [
          // A bridged frame never gets to the next rule: br_netfilter calls this hook without an input device.
          rule('into a network of ours', 'oifname @bridges goto inward'),
          rule('ip: to another host of the network', `iifname . ip daddr @${RANGE[4]} accept`),
          rule('ip6: to another host of the network', `iifname . ip6 daddr @${RANGE[6]} accept`),
          rule('to the world', 'meta nfproto . iifname @masqueraded masquerade'),
        ],
      },
      ...PORT_CHAINS,
      ...(localhost ? LOCALHOST_CHAINS : []),
    ],
  };
}

/** What of a network the table knows. */
export interface NetworkElements {
  readonly bridge: string;
  readonly icc: boolean;
  readonly internal: boolean;
  /** Families in which what leaves the host carries its address. */
  readonly masquerade: readonly Family[];
  /** Families whose sandboxes are reached by their own address, and how far. */
  readonly direct: readonly { readonly family: Family; readonly mode: 'routed' | 'unprotected' }[];
  /** Devices of the host behind which whoever has a route reaches published ports by the sandbox's address. */
  readonly trusted: readonly string[];
  /** Of a network that spans hosts: where the others' sandboxes are. */
  readonly ranges: readonly Prefix[];
}

/** Five elements, one for each family that is masqueraded, and two for each range: six for a usual network. */
export function networkElements(table: NftTableRef, network: NetworkElements): Change[] {
  const name = quoteIfname(network.bridge);
  const { internal, ranges } = network;
  const closed =
    ranges.length === 0 ? { leave: 'drop', enter: 'drop' } : { leave: 'goto leave_inside', enter: 'goto enter_inside' };
  const open = (elements: readonly NftElement[]): Change[] => (internal ? [] : elements.map((element) => add(table, element)));
  return [
    add(table, { set: 'bridges', key: name }),
    add(table, { set: 'within', key: `${name} . ${name}`, value: network.icc ? 'goto pass' : 'goto isolated' }),
    add(table, { set: 'same', key: `${name} . ${name}` }),
    add(table, { set: 'leaving', key: name, value: internal ? closed.leave : 'goto leave' }),
    add(table, { set: 'entering', key: name, value: internal ? closed.enter : 'goto enter' }),
    ...ranges.flatMap((range) => [
      add(table, { set: RANGE[familyOf(range)], key: `${name} . ${range}` }),
      add(table, { set: SPANNED[familyOf(range)], key: range }),
    ]),
    ...open(network.masquerade.map((family) => ({ set: 'masqueraded', key: `ipv${family} . ${name}` }))),
    ...open(network.direct.map(({ family, mode }) => ({ set: 'direct', key: `ipv${family} . ${name}`, value: `goto ${mode}` }))),
    ...open(network.trusted.map((device) => ({ set: 'trusted', key: `${quoteIfname(device)} . ${name}` }))),
  ];
}

export const add = (table: NftTableRef, element: NftElement): Change => ({ kind: 'nft-element', op: 'add', table, element });
