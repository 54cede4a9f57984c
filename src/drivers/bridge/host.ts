/** What the bridge driver needs once per daemon: its table, forwarding, room for many endpoints. */
import type { Change } from '../../contracts/change.ts';
import { HOST } from '../../contracts/change.ts';
import type { HostFacts } from '../../contracts/kernel.ts';
import type { NftTableRef } from '../../nft/types.ts';
import { quoteIfname } from '../../nft/names.ts';
import { foreignRules } from './foreign.ts';
import { MTU_MIN_IPV6 } from './options.ts';
import { add, baseTable } from './table.ts';

export const FORWARD4 = 'net/ipv4/ip_forward';
export const FORWARD6 = 'net/ipv6/conf/all/forwarding';
/** Of the uplink; `facts` has no such key when there is none. */
export const acceptRaOf = ({ uplink }: HostFacts): string => `net/ipv6/conf/${uplink}/accept_ra`;

/**
 * Whether the uplink takes a default route from router advertisements, as long as it does not forward. Below the least MTU the kernel gives it
 * no IPv6, and no keys (addrconf_notify(), net/ipv6/addrconf.c), although the facts still know their old values.
 */
export const takesAdvertisements = (facts: HostFacts): boolean =>
  facts.sysctls[acceptRaOf(facts)] === '1' && facts.uplinkMtu >= MTU_MIN_IPV6;

/**
 * Neighbour-table limits, in entries, for each family. The kernel counts the entries of all namespaces together and forgets to
 * the minimum first, then refuses new ones (`neighbour: arp_cache: neighbor table overflow!`). For each of the 1,024 ports of a full
 * bridge: 16 neighbours that are never forgotten early, 64 that may stay, 128 in a burst. An entry is a 512-byte slab object, so the
 * hard limit bounds the memory at 64 MiB.
 */
const NEIGHBOUR_LIMITS = [
  ['gc_thresh3', 128 * 1024],
  ['gc_thresh2', 64 * 1024],
  ['gc_thresh1', 16 * 1024],
] as const;

/**
 * Packets that may wait between network devices, for each CPU. A broadcast leaves a bridge by all its ports at once, and each veth
 * puts its copy there (veth_xmit() -> netif_rx()): with the usual 1,000 and as many ports the queue is full when the answer to an ARP
 * request follows, always, and nobody finds anybody. Room for four broadcasts of a full bridge.
 */
const BACKLOG = 4 * 1024;

const LIMITS: readonly (readonly [key: string, atLeast: number])[] = [
  ...['ipv4', 'ipv6'].flatMap((family) =>
    NEIGHBOUR_LIMITS.map(([name, limit]) => [`net/${family}/neigh/default/${name}`, limit] as const),
  ),
  ['net/core/netdev_max_backlog', BACKLOG],
];

/**
 * @param facts its `sysctls` are the values from before this instance first changed them (since boot): they decide whether the
 * host forwarded packets before us, and they are what an undo goes back to.
 */
export function planHost(table: NftTableRef, facts: HostFacts): Change[] {
  return [
    { kind: 'nft-table', op: 'add', table: baseTable(table, { followed: isFollowed(facts), localhost: takesLocalhost(facts) }) },
    ...(facts.uplink === '' ? [] : [add(table, { set: 'uplink', key: quoteIfname(facts.uplink) })]),
    // Turning forwarding on makes the host a router for everybody. What it did not forward before, it still does not.
    ...(facts.sysctls[FORWARD4] === '0' ? [add(table, { set: 'foreign', key: 'ipv4', value: 'goto closed' })] : []),
    ...(facts.sysctls[FORWARD6] === '0' ? [add(table, { set: 'foreign', key: 'ipv6', value: 'goto closed' })] : []),
    // br_netfilter translates answers while they are bridged, and IPv6 drops what then comes to it for ::1.
    ...(facts.bridgeNf === true ? [add(table, { set: 'unanswered', key: '::1' })] : []),
    ...foreignRules(facts, { owner: table.name, policy: 'drop', op: 'add' }),
    // After the rules: no moment of forwarding without them.
    { kind: 'sysctl', netns: HOST, key: FORWARD4, value: '1', old: undoForward(facts) },
    ...machineLimits(facts),
  ];
}

/**
 * Whether rules of others may ask for the mark of what we let pass. Who brings such rules is noticed, and every plan is made anew then. Those of
 * iptables-legacy cannot be read.
 */
const isFollowed = ({ foreignForward, unseenForward }: HostFacts): boolean => foreignForward.length > 0 || unseenForward === true;

/** Whether some bridge, or any device since an administrator (or kube-proxy) said so for all, takes packets for 127.0.0.0/8 from a wire. */
const takesLocalhost = ({ localhostPorts, sysctls }: HostFacts): boolean =>
  localhostPorts === true || sysctls['net/ipv4/conf/all/route_localnet'] === '1';

/**
 * Off again on undo, unless another tool that filters forwarded packets is here: it counts on forwarding, whoever turned it on.
 */
function undoForward(facts: HostFacts): string | null {
  return facts.foreignForward.length === 0 ? (facts.sysctls[FORWARD4] ?? null) : null;
}

/**
 * IPv6 forwarding stays on when networks go (`forwardIpv6`), but without our table nothing would be closed any more: a host that was no
 * router before us would be one afterwards. The same exception as for IPv4.
 */
export function planReset(facts: HostFacts): Change[] {
  if (facts.sysctls[FORWARD6] !== '0' || facts.foreignForward.length > 0) return [];
  return [
    { kind: 'sysctl', netns: HOST, key: FORWARD6, value: '0', old: null },
    // 2 was for a router; only now, because 1 means none while forwarding is on.
    ...(takesAdvertisements(facts)
      ? [{ kind: 'sysctl', netns: HOST, key: acceptRaOf(facts), value: '1', old: null } satisfies Change]
      : []),
  ];
}

/** Only ever raised, and left so (`old: null`): the whole machine shares them, and others count on the same room. */
function machineLimits(facts: HostFacts): Change[] {
  return LIMITS.flatMap(([key, limit]): Change[] => {
    const current = facts.sysctls[key];
    if (current === undefined || Number(current) >= limit) return [];
    return [{ kind: 'sysctl', netns: HOST, key, value: String(limit), old: null }];
  });
}
