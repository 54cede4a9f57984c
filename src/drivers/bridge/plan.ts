/** A bridge network and its endpoints as changes. */
import { unsupported } from '../../base/errors.ts';
import { addressOf, type Family, type IpAddress, lengthOf, parseIp, prefixOf, withLength } from '../../base/ip.ts';
import { type Mac, randomMac } from '../../base/mac.ts';
import type { Id } from '../../base/ids.ts';
import { type Change, HOST, type LinkAttributes, type Netns } from '../../contracts/change.ts';
import type { JoinPlan } from '../../contracts/driver.ts';
import type { HostFacts } from '../../contracts/kernel.ts';
import { type Instance, tableName } from '../../model/instance.ts';
import { ownerAlias } from '../../model/names.ts';
import type { Network } from '../../model/network.ts';
import type { Endpoint } from '../../model/sandbox.ts';
import type { NftTableRef } from '../../nft/types.ts';
import { acceptRaOf, FORWARD6, takesAdvertisements } from './host.ts';
import { type BridgeOptions, MTU_MAX, MTU_MIN_IPV6, parseOptions } from './options.ts';
import { GUARDED, type NetworkElements, networkElements } from './table.ts';

export const tableRef = (instance: Instance): NftTableRef => ({ family: 'inet', name: tableName(instance) });

/** What a new bridge has: ETH_DATA_LEN, <linux/if_ether.h>. */
const BRIDGE_MTU = 1500;

/** @throws unsupported for an IPv6 network on a kernel without IPv6. */
export function planNetwork(instance: Instance, network: Network, facts: HostFacts): Change[] {
  const options = parseOptions(network);
  const { bridge } = options;
  const hasIpv6 = facts.sysctls[FORWARD6] !== undefined;
  if (network.ipv6 && !hasIpv6) throw unsupported(`Cannot create network ${network.name}: this kernel has no IPv6`);
  const { addresses: kept = [] } = network.foreignBridge ?? {};
  return [
    ...(network.foreignBridge === undefined ? ownBridge(instance, network, { options, facts }) : foreignBridge(network, options)),
    ...network.pools.flatMap(({ family, subnet, gateway }): Change[] =>
      gateway === null || options.gatewayMode[family] === 'isolated' || kept.includes(withLength(gateway, lengthOf(subnet)))
        ? []
        : [address(HOST, bridge, { family, ip: gateway, length: lengthOf(subnet) })],
    ),
    ...rulesOf(instance, network, options),
    ...(network.ipv6 && !network.internal && options.gatewayMode[6] !== 'routed' ? [localhost6(network, bridge)] : []),
    ...(network.ipv6 && !network.internal ? forwardIpv6(facts) : []),
  ];
}

function ownBridge(
  instance: Instance,
  network: Network,
  { options, facts }: { readonly options: BridgeOptions; readonly facts: HostFacts },
): Change[] {
  const { bridge } = options;
  const mtu = mtuOf(network, options, facts);
  const hasIpv6 = facts.sysctls[FORWARD6] !== undefined;
  return [
    {
      kind: 'link',
      op: 'add',
      netns: HOST,
      link: {
        name: bridge,
        kind: { type: 'bridge', multicastSnooping: false },
        up: true,
        mac: bridgeMac(network.id),
        alias: ownerAlias(instance.id, network.id),
        ...(network.internal || !options.icc ? { group: GUARDED } : {}),
        // Said even though a bridge is born so: one that is there may have another, from when the uplink had.
        ...(mtu === BRIDGE_MTU ? { mtu } : {}),
      },
    },
    // Any other not at birth: only an MTU that is set later counts as chosen (BROPT_MTU_SET_BY_USER), and otherwise the bridge would
    // follow its ports, down to 1500 when the last one leaves.
    ...(mtu === BRIDGE_MTU
      ? []
      : [{ kind: 'link-set', netns: HOST, name: bridge, value: { mtu }, old: { mtu: BRIDGE_MTU } } satisfies Change]),
    ...(hasIpv6 && mtu >= MTU_MIN_IPV6 ? bridgeIpv6(network, options) : []),
  ];
}

/** Up, and with IPv6 where the network has it, which both stay: what else it is, and who may send router advertisements, is its owner's business. */
function foreignBridge(network: Network, { bridge, icc, gatewayMode }: BridgeOptions): Change[] {
  const set = (value: LinkAttributes, old: LinkAttributes): Change => ({
    kind: 'link-set',
    netns: HOST,
    name: bridge,
    value,
    old,
  });
  const key = `net/ipv6/conf/${bridge}/disable_ipv6`;
  return [
    set({ up: true }, {}),
    ...(network.internal || !icc ? [set({ group: GUARDED }, { group: 0 })] : []),
    ...(network.ipv6 && gatewayMode[6] !== 'isolated'
      ? [{ kind: 'sysctl', netns: HOST, key, value: '0', old: null } satisfies Change]
      : []),
  ];
}

const rulesOf = (instance: Instance, network: Network, options: BridgeOptions): Change[] =>
  networkElements(tableRef(instance), {
    ...options,
    ...outside(network, options),
    internal: network.internal,
    ranges: network.ranges ?? [],
  });

/** The part of `planNetwork` that stands in the table. */
export const planNetworkRules = (instance: Instance, network: Network): Change[] =>
  rulesOf(instance, network, parseOptions(network));

/**
 * One endpoint. The host end is born a port of the bridge and up; it has no carrier before the inside is up, which comes last, so no
 * packet flows and no link-local address appears before everything is as it should be.
 */
export function planJoin(
  instance: Instance,
  network: Network,
  join: { readonly endpoint: Endpoint; readonly netns: Netns; readonly facts: HostFacts },
): JoinPlan {
  const { endpoint, netns, facts } = join;
  const options = parseOptions(network);
  const mtu = mtuOf(network, options, facts);
  const device = endpoint.interfaceName;
  // Below its least MTU the kernel gives a device no IPv6, and no keys to turn it off with (addrconf_notify(), net/ipv6/addrconf.c).
  const hasIpv6 = facts.sysctls[FORWARD6] !== undefined && mtu >= MTU_MIN_IPV6;
  const changes: Change[] = [
    {
      kind: 'link',
      op: 'add',
      netns: HOST,
      link: {
        name: endpoint.hostInterfaceName,
        kind: { type: 'veth', peer: { name: device, netns, ...(endpoint.mac === null ? {} : { mac: endpoint.mac }), mtu } },
        up: true,
        mtu,
        master: options.bridge,
        alias: ownerAlias(instance.id, endpoint.id),
        ...(options.icc ? {} : { isolated: true }),
      },
    },
    ...(hasIpv6 ? endpointIpv6(endpoint, netns) : []),
  ];
  for (const value of [endpoint.ipv4, endpoint.ipv6]) {
    if (value === null) continue;
    const ip = addressOf(value);
    changes.push(address(netns, device, { family: value === endpoint.ipv6 ? 6 : 4, ip, length: lengthOf(value) }));
  }
  changes.push({ kind: 'link-set', netns, name: device, value: { up: true }, old: { up: false } });
  return {
    changes,
    gateway4: endpoint.ipv4 === null ? null : gatewayOf(network, 4),
    gateway6: endpoint.ipv6 === null ? null : gatewayOf(network, 6),
  };
}

/** How the families of a network meet the world. */
function outside(network: Network, { masquerade, gatewayMode }: BridgeOptions): Pick<NetworkElements, 'masquerade' | 'direct'> {
  const families = network.pools.map(({ family }) => family);
  return {
    masquerade: families.filter((family) => masquerade && gatewayMode[family] !== 'routed'),
    direct: families.flatMap((family): NetworkElements['direct'] => {
      const mode = gatewayMode[family];
      if (mode === 'routed') return [{ family, mode }];
      return mode === 'nat-unprotected' ? [{ family, mode: 'unprotected' }] : [];
    }),
  };
}

/**
 * IPv6 has no `route_localnet`. Answers to a client at ::1 get that address back when they come in by the bridge, and the kernel then
 * asks for a route to ::1 on that very device (rt6_need_strict(), net/ipv6/route.c), which this is. What comes from the wire with such an
 * address was dropped before that (ip6_rcv_core()), and so is an answer that br_netfilter translates while it is bridged.
 *
 * A metric of its own for each bridge: for the kernel two routes of one metric are the same place.
 */
function localhost6(network: Network, device: string): Change {
  const metric = LOCALHOST_METRIC + Number.parseInt(network.id.slice(0, 7), 16);
  return { kind: 'route', op: 'add', netns: HOST, route: { type: 'local', destination: LOCALHOST6, device, metric } };
}

const LOCALHOST6 = prefixOf(parseIp('::1'), 128);
/** Behind every metric that people and routing daemons use. */
const LOCALHOST_METRIC = 2 ** 31;

/** The way out, which an internal network does not offer even though its bridge has an address. */
function gatewayOf(network: Network, family: Family): IpAddress | null {
  if (network.internal) return null;
  return network.pools.find((pool) => pool.family === family)?.gateway ?? null;
}

/** Same for bridge and endpoints: as set, or the uplink's, within what a veth and IPv6 can have. */
function mtuOf(network: Network, options: BridgeOptions, facts: HostFacts): number {
  if (options.mtu !== null) return options.mtu;
  const mtu = Math.min(facts.uplinkMtu, MTU_MAX);
  return network.ipv6 ? Math.max(mtu, MTU_MIN_IPV6) : mtu;
}

/**
 * Fixed, from the network's id: a bridge without one takes the lowest address of its ports, and would change it, and with it every
 * sandbox's neighbour entry for the gateway, whenever ports come and go.
 */
export const bridgeMac = (id: Id): Mac => randomMac(Buffer.from(id.slice(0, 12), 'hex'));

/**
 * No IPv6 on the host's side unless the network has it, and even then no router advertisement from a sandbox (CVE-2020-13401), and no duplicate
 * address detection for the link-local address that the bridge gives itself with its first port: the host asks for a sandbox's MAC address under that
 * address when it forwards (ndisc_send_ns()), so for up to two seconds nobody outside would reach the first sandbox.
 */
function bridgeIpv6(network: Network, { bridge, gatewayMode }: BridgeOptions): Change[] {
  const set = (key: string, value: string): Change => ({
    kind: 'sysctl',
    netns: HOST,
    key: `net/ipv6/conf/${bridge}/${key}`,
    value,
    old: null,
  });
  // Of an isolated network the host has no address at all, and so no link-local one. A host may have IPv6 off for every device that comes.
  return network.ipv6 && gatewayMode[6] !== 'isolated'
    ? [set('accept_ra', '0'), set('accept_dad', '0'), set('disable_ipv6', '0')]
    : [set('disable_ipv6', '1')];
}

/**
 * The host end needs no IPv6 of its own in any case. Inside, the key is written for both answers, because a namespace may inherit
 * either (net.core.devconf_inherit_init_net); addresses and routes are ours to give, not a neighbour's.
 */
function endpointIpv6(endpoint: Endpoint, netns: Netns): Change[] {
  const inside = `net/ipv6/conf/${endpoint.interfaceName}`;
  return [
    { kind: 'sysctl', netns: HOST, key: `net/ipv6/conf/${endpoint.hostInterfaceName}/disable_ipv6`, value: '1', old: null },
    { kind: 'sysctl', netns, key: `${inside}/disable_ipv6`, value: endpoint.ipv6 === null ? '1' : '0', old: null },
    ...(endpoint.ipv6 === null
      ? []
      : [{ kind: 'sysctl', netns, key: `${inside}/accept_ra`, value: '0', old: null } satisfies Change]),
  ];
}

/**
 * Only with the first IPv6 network, as Docker does, and left on afterwards (`old: null`): others may count on it, and one network's
 * removal must not cut off another's. A reset turns it off (`planReset`). A host that has its own default route from router advertisements would lose it at once
 * (addrconf_forward_change() purges them unless accept_ra is 2), so that comes first.
 */
function forwardIpv6(facts: HostFacts): Change[] {
  if (facts.sysctls[FORWARD6] !== '0') return [];
  return [
    ...(takesAdvertisements(facts)
      ? [{ kind: 'sysctl', netns: HOST, key: acceptRaOf(facts), value: '2', old: null } satisfies Change]
      : []),
    { kind: 'sysctl', netns: HOST, key: FORWARD6, value: '1', old: null },
  ];
}

/** Duplicate address detection would keep an IPv6 address unusable for a second; IPAM has already seen to it that it is unique. */
function address(netns: Netns, device: string, value: { family: Family; ip: IpAddress; length: number }): Change {
  return {
    kind: 'address',
    op: 'add',
    netns,
    device,
    address: withLength(value.ip, value.length),
    ...(value.family === 6 ? { nodad: true } : {}),
  };
}
