/** `/run/flannel/subnet.env`: how flanneld tells CNI's flannel plugin, and whoever else looks, of this host's part. */
import { type Family, familyOf, type Prefix } from '../../base/ip.ts';
import type { Network } from '../../model/network.ts';

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
