/** What this host writes into flannel's layout, and whose a lease there is. */
import { invalid } from '../../base/errors.ts';
import { familyOf } from '../../base/ip.ts';
import type { Network } from '../../model/network.ts';
import type { ClusterNode, NodePart } from '../../model/node.ts';
import type { FlannelConfig } from './config.ts';
import type { FlannelLease } from './lease.ts';

/** @throws invalid: flannel knows a host by its IPv4 address, and reaches it through vxlan by the MAC address of its VTEP */
export function ownLease(
  {
    node,
    part,
    network,
  }: { readonly node: ClusterNode; readonly part: (network: Network) => NodePart; readonly network: Network },
  { backend, vni, spaces }: FlannelConfig,
): FlannelLease {
  const publicIp = node.addresses.find((one) => familyOf(one) === 4) ?? null;
  const publicIpv6 = spaces.length > 1 ? (node.addresses.find((one) => familyOf(one) === 6) ?? null) : null;
  if (publicIp === null)
    throw invalid(`cannot lease a subnet of ${network.name}: this node has no IPv4 address, which flannel needs`);
  if (backend !== 'vxlan') return { publicIp, publicIpv6, backend, vni, mac4: null, mac6: null };
  const { vtep4, vtep6 } = part(network);
  if (vtep4 === undefined) throw invalid(`cannot lease a subnet of ${network.name}: its VTEP's MAC address is not known`);
  return { publicIp, publicIpv6, backend, vni, mac4: vtep4, mac6: publicIpv6 === null ? null : (vtep6 ?? null) };
}

/** @throws invalid when the network that was asked for is not the one that is there */
export function checkConfig({ backend, spaces }: FlannelConfig, network: Network, prefix: string): void {
  const wanted = network.options['backend'] ?? 'vxlan';
  if (backend !== wanted)
    throw invalid(`cannot join ${prefix}: its backend is ${backend}, that of network ${network.name} is ${wanted}`);
  const ranges = spaces.map(({ range }) => range).join(', ');
  const asked = (network.ranges ?? []).join(', ');
  if (asked !== ranges) throw invalid(`cannot join ${prefix}: it is ${ranges}, network ${network.name} is ${asked}`);
}

/** By which a host of these addresses is known. */
export const wordOf = ({ addresses }: ClusterNode): string => addresses.find((one) => familyOf(one) === 4) ?? addresses[0] ?? '';

/** flannel finds a host's own lease by PublicIP. */
export const ownerOf = ({ publicIp, publicIpv6 }: FlannelLease): string => publicIp ?? publicIpv6 ?? '';
