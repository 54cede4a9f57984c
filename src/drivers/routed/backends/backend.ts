/** What a backend is: how packets for another host's part of a network get there. */
import {
  addressOf,
  bitsOf,
  type Family,
  familyOf,
  type IpAddress,
  lengthOf,
  type Prefix,
  prefixContains,
  prefixOf,
  withLength,
} from '../../../base/ip.ts';
import { type Change, HOST, type Route } from '../../../contracts/change.ts';
import type { PeerPlan } from '../../../contracts/driver.ts';
import type { HostFacts } from '../../../contracts/kernel.ts';
import type { TunnelSpec } from '../../../contracts/tunnel.ts';
import type { Network } from '../../../model/network.ts';
import type { NodePart, Peer, Underlay } from '../../../model/node.ts';
import type { RoutedOptions } from '../options.ts';

/** What every plan of a network is made from. */
export interface Site {
  readonly network: Network;
  readonly options: RoutedOptions;
  readonly underlay: Underlay;
  readonly host: HostFacts;
  /** IFLA_IFALIAS of the network's devices. */
  readonly alias: string;
}

export interface Backend {
  /** Bytes that the underlay's MTU loses. */
  readonly overhead: (site: Site) => number;
  /** Who is nobody's neighbour here is unreachable: packets for the range that no peer's route takes do not leave by the default route. */
  readonly closed: boolean;
  readonly planNetwork: (site: Site) => readonly Change[];
  readonly planPeer: (site: Site, peer: Peer) => PeerPlan;
  readonly part: (site: Site) => Omit<NodePart, 'inUse'>;
  readonly tunnel: (site: Site, peers: readonly Peer[]) => TunnelSpec | null;
}

/** Of the host on the underlay. */
export const ownAddress = ({ addresses }: Underlay, family: Family): IpAddress | null => {
  const found = addresses.find((address) => familyOf(address) === family);
  return found === undefined ? null : addressOf(found);
};

export const peerAddress = ({ address, addresses = [address] }: Peer, family: Family): IpAddress | null =>
  addresses.find((one) => familyOf(one) === family) ?? null;

/** Whether the kernel finds the address without a router. */
export const isOnLink = ({ addresses }: Underlay, address: IpAddress): boolean =>
  addresses.some((own) => lengthOf(own) < bitsOf(familyOf(own)) && prefixContains(prefixOf(own), address));

/** The host's own address in the network; null while it has leased no subnet. */
const gatewayOf = ({ pools }: Network, family: Family): IpAddress | null =>
  pools.find((pool) => pool.family === family)?.gateway ?? null;

/** IPV4_MIN_MTU, RFC 791. */
export const IPV4_MIN_MTU = 68;

/**
 * What goes to another host where the way there takes less than the underlay's MTU: larger packets are answered with "too big" at once, and TCP is told
 * as it connects (the bridge driver's rule `rt mtu`), instead of being lost on the way.
 * @param overhead bytes around a packet
 */
export function pathMtu(
  { underlay: { paths = {} } }: Site,
  { destination, at, overhead }: { readonly destination: Prefix; readonly at: IpAddress; readonly overhead: number },
): { readonly mtu?: number } {
  const path = paths[at];
  if (path === undefined) return {};
  return { mtu: Math.max(path - overhead, familyOf(destination) === 6 ? IPV6_MIN_MTU : IPV4_MIN_MTU) };
}

/**
 * Past no tunnel. What the host itself sends carries its address in the network, as the sandbox there would not be let answer, nor be sent
 * anything, from outside the range.
 */
export function plainRoute(site: Site, destination: Prefix, via: IpAddress): Change {
  const { network, underlay } = site;
  const source = gatewayOf(network, familyOf(destination));
  const mtu = pathMtu(site, { destination, at: via, overhead: 0 });
  return add({ destination, via, device: underlay.device, ...(source === null ? {} : { source }), ...mtu });
}

export const add = (route: Route): Change => ({ kind: 'route', op: 'add', netns: HOST, route });

/** Below it Linux has no IPv6 on a device (IPV6_MIN_MTU, <linux/ipv6.h>; RFC 8200 section 5). */
export const IPV6_MIN_MTU = 1280;

/**
 * What the devices of tunnels have in common: the host's address is the first of each subnet, with no route to go with it, as flannel's are; no
 * IPv6 where the network has none.
 */
export function addressing(
  { network, host }: Site,
  { device, mtu, families }: { readonly device: string; readonly mtu: number; readonly families: readonly Family[] },
): Change[] {
  const hasIpv6 = host.sysctls['net/ipv6/conf/all/forwarding'] !== undefined && mtu >= IPV6_MIN_MTU;
  const key = `net/ipv6/conf/${device}`;
  const set = (name: string, value: string): Change => ({
    kind: 'sysctl',
    netns: HOST,
    key: `${key}/${name}`,
    value,
    old: null,
  });
  // A host may have IPv6 off for every device that comes.
  const ipv6 = [set('accept_ra', '0'), set('accept_dad', '0'), set('disable_ipv6', '0')];
  return [
    ...(!hasIpv6 ? [] : families.includes(6) ? ipv6 : [set('disable_ipv6', '1')]),
    ...network.pools
      .filter(({ family }) => families.includes(family))
      .map(
        ({ family, subnet }): Change => ({
          kind: 'address',
          op: 'add',
          netns: HOST,
          device,
          address: withLength(addressOf(subnet), bitsOf(family)),
          ...(family === 6 ? { nodad: true } : {}),
        }),
      ),
  ];
}

/** Sentences about the parts of a peer -> one. */
export const join = (troubles: readonly string[]): string => [...new Set(troubles)].join('; ');
