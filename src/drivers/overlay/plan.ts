/** An overlay network on this host: a namespace with a bridge and a VXLAN device, and what is in it for each endpoint, here and elsewhere. */
import { conflict, MoorError } from '../../base/errors.ts';
import {
  addressOf,
  type Family,
  familyOf,
  type IfAddress,
  type IpAddress,
  lengthOf,
  prefixContains,
  withLength,
} from '../../base/ip.ts';
import { randomMac } from '../../base/mac.ts';
import { type Change, HOST, type Netns } from '../../contracts/change.ts';
import type { JoinPlan } from '../../contracts/driver.ts';
import type { HostFacts } from '../../contracts/kernel.ts';
import { type Instance, segmentPin } from '../../model/instance.ts';
import { ownerAlias } from '../../model/names.ts';
import type { Network } from '../../model/network.ts';
import type { RemoteEndpoint, Underlay } from '../../model/node.ts';
import type { Endpoint } from '../../model/sandbox.ts';
import { MTU_MIN_IPV6, type OverlayOptions, parseOptions } from './options.ts';

/** Names inside the network's namespace, as Docker's. */
const BRIDGE = 'br0';
const VXLAN = 'vxlan0';

/** Outer IP and UDP header, VXLAN header, inner Ethernet header: 20 or 40, 8, 8, 14 bytes (RFC 7348 section 5). */
const OVERHEAD = { 4: 50, 6: 70 } as const;
/** IPV4_MIN_MTU, RFC 791. */
const MTU_MIN = 68;

/** The family of the underlay's packets: IPv4 where there is it, so that any two hosts that have it agree. */
interface Outer {
  readonly family: Family;
  readonly local: IpAddress;
}

export interface Site {
  readonly network: Network;
  readonly options: OverlayOptions;
  readonly host: HostFacts;
  readonly outer: Outer;
  readonly netns: Netns;
  readonly alias: string;
  /** Of endpoints, bytes. */
  readonly mtu: number;
}

/** Options are read once for a network, not once for each endpoint. */
const parsed = new WeakMap<Network, OverlayOptions>();

function optionsOf(network: Network): OverlayOptions {
  const known = parsed.get(network);
  if (known !== undefined) return known;
  const options = parseOptions(network);
  parsed.set(network, options);
  return options;
}

/** @throws unavailable on a host that is in no cluster */
export function siteOf(instance: Instance, network: Network, host: HostFacts): Site {
  const { underlay } = host;
  if (underlay === undefined) {
    throw new MoorError(
      'unavailable',
      `Cannot set up network ${network.name}: this host is in no cluster: start moord with --cluster-store etcd://HOST:2379`,
    );
  }
  const outer = outerOf(underlay);
  if (outer === null)
    throw new MoorError('unavailable', `Cannot set up network ${network.name}: device ${underlay.device} has no address`);
  const options = optionsOf(network);
  const netns = segmentPin(instance, network.id);
  const room = Math.max(underlay.mtu - OVERHEAD[outer.family], network.ipv6 ? MTU_MIN_IPV6 : MTU_MIN);
  return { network, options, host, outer, netns, alias: ownerAlias(instance.id, network.id), mtu: options.mtu ?? room };
}

function outerOf({ addresses }: Underlay): Outer | null {
  for (const family of [4, 6] as const) {
    const found = addresses.find((address) => familyOf(address) === family);
    if (found !== undefined) return { family, local: addressOf(found) };
  }
  return null;
}

/** Absent when the kernel has no IPv6. */
const FORWARD6 = 'net/ipv6/conf/all/forwarding';
const hasIpv6 = ({ host }: Site): boolean => host.sysctls[FORWARD6] !== undefined;

/**
 * The segment. The VXLAN device sends and receives in the host's namespace, where its socket is born. It learns nothing and floods nothing: a frame
 * goes only where an entry says, and questions for addresses (ARP, neighbour discovery) are answered by the device itself. So no frame of
 * unknown destination, and no broadcast, leaves the host.
 */
export function planNetwork(site: Site): readonly Change[] {
  const { network, options, netns, alias, outer, mtu } = site;
  if (options.vni === null) throw new MoorError('internal', `network ${network.name} has no VNI`);
  const gateways = network.pools.flatMap(({ gateway, subnet }): readonly IfAddress[] =>
    gateway === null ? [] : [withLength(gateway, lengthOf(subnet))],
  );
  return [
    { kind: 'netns', op: 'add', path: netns },
    ...(hasIpv6(site) ? quietIpv6(site) : []),
    {
      kind: 'link',
      op: 'add',
      netns,
      link: {
        name: BRIDGE,
        kind: { type: 'bridge', multicastSnooping: false },
        up: true,
        mac: randomMac(Buffer.from(network.id.slice(0, 12), 'hex')),
        alias,
      },
    },
    {
      kind: 'link',
      op: 'add',
      netns,
      link: {
        name: VXLAN,
        kind: {
          type: 'vxlan',
          vni: options.vni,
          port: options.port,
          local: outer.local,
          learning: false,
          proxy: true,
          socket: HOST,
        },
        up: true,
        mtu,
        master: BRIDGE,
        static: true,
        alias,
      },
    },
    // As Docker's: the address answers on every host, and nothing goes by way of it.
    ...gateways.map((address) => addressChange(netns, BRIDGE, address)),
  ];
}

/**
 * Before the devices are born: none of them has IPv6, or, where the VXLAN device needs it for its entries (EINVAL otherwise), an address of its
 * own; an advertisement from a sandbox would give it one.
 */
function quietIpv6({ network, netns }: Site): readonly Change[] {
  const set = (key: string, value: string): Change => sysctl(netns, `net/ipv6/conf/default/${key}`, value);
  // IN6_ADDR_GEN_MODE_NONE, <linux/if_link.h>.
  return network.ipv6 ? [set('disable_ipv6', '0'), set('addr_gen_mode', '1'), set('accept_ra', '0')] : [set('disable_ipv6', '1')];
}

/** One endpoint of this host. It offers no way out: that is another network's part. */
export function planJoin(
  { id }: Instance,
  site: Site,
  { endpoint, netns }: { readonly endpoint: Endpoint; readonly netns: Netns },
): JoinPlan {
  const { network, mtu } = site;
  const device = endpoint.interfaceName;
  const inside = `net/ipv6/conf/${device}`;
  // Below its least MTU the kernel gives a device no IPv6, and no keys to turn it off with (addrconf_notify(), net/ipv6/addrconf.c).
  const keys = hasIpv6(site) && mtu >= MTU_MIN_IPV6;
  const changes: Change[] = [
    {
      kind: 'link',
      op: 'add',
      netns: site.netns,
      link: {
        name: endpoint.hostInterfaceName,
        kind: { type: 'veth', peer: { name: device, netns, ...(endpoint.mac === null ? {} : { mac: endpoint.mac }), mtu } },
        up: true,
        mtu,
        master: BRIDGE,
        alias: ownerAlias(id, endpoint.id),
      },
    },
    ...(keys ? [sysctl(netns, `${inside}/disable_ipv6`, endpoint.ipv6 === null ? '1' : '0')] : []),
    ...(keys && endpoint.ipv6 !== null ? [sysctl(netns, `${inside}/accept_ra`, '0')] : []),
  ];
  const own = [endpoint.ipv4, endpoint.ipv6].flatMap((address) => address ?? []);
  for (const address of own) changes.push(addressChange(netns, device, address));
  changes.push({ kind: 'link-set', netns, name: device, value: { up: true }, old: { up: false } });
  // Other subnets of the network are on the same segment.
  for (const address of own) {
    for (const { subnet, family } of network.pools) {
      if (family !== familyOf(address) || prefixContains(subnet, addressOf(address))) continue;
      changes.push({ kind: 'route', op: 'add', netns, route: { destination: subnet, device } });
    }
  }
  return { changes, gateway4: null, gateway6: null };
}

/**
 * One endpoint of another host: which port of the bridge leads to it, which host, and its address. In an order in which what an entry leads to is
 * there before it.
 */
export function planRemote(site: Site, endpoint: RemoteEndpoint): readonly Change[] {
  const { netns, outer } = site;
  const { mac } = endpoint;
  const destination = endpoint.hosts.find((address) => familyOf(address) === outer.family);
  if (mac === null || destination === undefined) return [];
  return [
    { kind: 'fdb', op: 'add', netns, entry: { device: VXLAN, mac, destination } },
    { kind: 'fdb', op: 'add', netns, entry: { device: VXLAN, mac } },
    ...endpoint.addresses.map(
      (address): Change => ({
        kind: 'neighbour',
        op: 'add',
        netns,
        neighbour: { device: VXLAN, address, mac, state: 'permanent' },
      }),
    ),
  ];
}

/** Who is on the segment here may remember another MAC address for these. */
export const planAnnounce = ({ netns }: Site, { mac, addresses }: RemoteEndpoint): readonly Change[] =>
  mac === null ? [] : addresses.map((address): Change => ({ kind: 'announce', netns, device: BRIDGE, address, mac }));

/**
 * @throws conflict for a VNI that another network of this host has at the same port; else as `parseOptions`
 */
export function checkNetwork(network: Network, others: readonly Network[]): void {
  const { vni, port } = optionsOf(network);
  for (const other of others) {
    if (vni === null || other.id === network.id) continue;
    const its = optionsOf(other);
    if (its.vni !== vni || its.port !== port) continue;
    throw conflict(`Cannot create network ${network.name}: network ${other.name} has VNI ${vni}`);
  }
}

const sysctl = (netns: Netns, key: string, value: string): Change => ({ kind: 'sysctl', netns, key, value, old: null });

/** Duplicate address detection would keep an IPv6 address unusable for a second; IPAM has already seen to it that it is unique. */
const addressChange = (netns: Netns, device: string, address: IfAddress): Change => ({
  kind: 'address',
  op: 'add',
  netns,
  device,
  address,
  ...(familyOf(address) === 6 ? { nodad: true } : {}),
});
