/** `host-gw`: a peer is the next hop to its subnets. No encapsulation, so all hosts must be on one layer-2 segment. */
import { familyOf } from '../../../base/ip.ts';
import type { Change } from '../../../contracts/change.ts';
import type { PeerPlan } from '../../../contracts/driver.ts';
import type { Peer } from '../../../model/node.ts';
import { type Backend, isOnLink, join, peerAddress, plainRoute, type Site } from './backend.ts';

export const hostGateway: Backend = {
  overhead: () => 0,
  closed: true,
  planNetwork: () => [],
  planPeer,
  part: () => ({}),
  tunnel: () => null,
};

function planPeer(site: Site, peer: Peer): PeerPlan {
  const changes: Change[] = [];
  const troubles: string[] = [];
  for (const subnet of peer.subnets) {
    const family = familyOf(subnet);
    const via = peerAddress(peer, family);
    if (via === null) troubles.push(`${peer.node} has no IPv${family} address by which ${subnet} is reached`);
    else if (isOnLink(site.underlay, via)) changes.push(plainRoute(site, subnet, via));
    else troubles.push(notHere(site, peer.node, via));
  }
  return { changes, trouble: join(troubles) };
}

function notHere({ underlay: { addresses, device } }: Site, node: string, via: string): string {
  return (
    `${node} (${via}) is on no network of ${device} (${addresses.join(', ')}): backend host-gw needs all hosts on one layer-2 segment, ` +
    'backends vxlan and udp do not'
  );
}
