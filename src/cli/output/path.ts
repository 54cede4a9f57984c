/** What is known of the way to another host, in a few words. */
import type { ClusterView } from '../../contracts/engine.ts';
import type { IpAddress } from '../../base/ip.ts';
import type { PathReport } from '../../model/node.ts';

/** Of a host with several addresses: the worst. */
const ORDER = { small: 0, silent: 1, ok: 2 } as const satisfies Record<PathReport['state'], number>;

export const worst = (reports: readonly PathReport[]): PathReport | null =>
  reports.toSorted((a, b) => ORDER[a.state] - ORDER[b.state])[0] ?? null;

export const pathTo = (paths: ClusterView['paths'], addresses: readonly IpAddress[]): PathReport | null =>
  worst(addresses.flatMap((address) => paths[address] ?? []));

/** @param size that is shown instead of the underlay's when it comes through whole: that of a network's packets, which are wrapped in it */
export function pathWords(path: PathReport | null, size?: number): string {
  if (path === null) return '';
  switch (path.state) {
    case 'ok':
      return `${size ?? path.asked} ok`;
    case 'small':
      return `${path.mtu} only`;
    case 'silent':
      return 'no answer';
  }
}

/** What is wrong and what to do about it; '' when nothing is. */
export function pathAdvice(name: string, path: PathReport | null): string {
  if (path?.state === 'small')
    return (
      `${name}: the path takes ${path.mtu} bytes only, of the ${path.asked} that the device here has: TCP is told so when it connects, and other packets ` +
      `are answered "too big"; let the path take ${path.asked}, or give the devices of all hosts ${path.mtu}`
    );
  if (path?.state === 'silent')
    return `${name}: no answer to ICMP echo, so it is not known what the path takes: the host is away, or a firewall keeps echo out`;
  return '';
}
