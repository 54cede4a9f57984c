/** `/run/flannel/subnet.env`: how flanneld tells CNI's flannel plugin, and whoever else looks, of this host's part. */
import { type Family, familyOf, type Prefix } from '../../base/ip.ts';
import type { Change } from '../../contracts/change.ts';
import type { Network } from '../../model/network.ts';

/** flannel's own prefix, whose file has flannel's own name. */
const PREFIX = '/coreos.com/network';

/** Several networks of a host cannot have one file: those under other prefixes have one that is named after theirs. */
export const subnetFile = (folder: string, prefix: string): string =>
  `${folder}/${prefix === PREFIX ? 'subnet' : prefix.slice(1).replaceAll('/', '-')}.env`;

/** Gone with the network. While this host has no subnet there is nothing to tell. */
export const subnetFileChange = (
  path: string,
  network: Pick<Network, 'ranges' | 'pools'>,
  options: Parameters<typeof subnetEnv>[1],
): Change[] => (network.pools.length === 0 ? [] : [{ kind: 'file', path, value: subnetEnv(network, options), old: null }]);

/** @param network as this node has it. @param mtu of its containers, bytes. @param masquerade flanneld's --ip-masq: done by flannel itself */
export function subnetEnv(
  network: Pick<Network, 'ranges' | 'pools'>,
  { mtu, masquerade }: { readonly mtu: number; readonly masquerade: boolean },
): string {
  const lines: string[] = [];
  for (const [family, middle] of [
    [4, ''],
    [6, 'IPV6_'],
  ] as const satisfies readonly (readonly [Family, string])[]) {
    const range: Prefix | undefined = network.ranges?.find((one) => familyOf(one) === family);
    const pool = network.pools.find((one) => one.family === family);
    if (range === undefined || !pool || pool.gateway === null) continue;
    // The bridge's address with the subnet's length, which is the first in it.
    lines.push(`FLANNEL_${middle}NETWORK=${range}`, `FLANNEL_${middle}SUBNET=${pool.gateway}/${pool.subnet.split('/')[1]}`);
  }
  lines.push(`FLANNEL_MTU=${mtu}`, `FLANNEL_IPMASQ=${masquerade}`);
  return `${lines.join('\n')}\n`;
}
