/** `udp`: a TUN device, whose packets a tunnel of ours sends to the peer in UDP datagrams as they are. */
import { addressOf, familyOf, type IfAddress, type Prefix } from '../../../base/ip.ts';
import { type Change, HOST } from '../../../contracts/change.ts';
import type { PeerPlan } from '../../../contracts/driver.ts';
import type { TunnelPeer, TunnelSpec } from '../../../contracts/tunnel.ts';
import type { Peer } from '../../../model/node.ts';
import { add, addressing, type Backend, pathMtu, peerAddress, type Site } from './backend.ts';

export const udp: Backend = {
  overhead,
  closed: true,
  planNetwork,
  planPeer,
  part: ({ options: { port } }) => ({ port }),
  tunnel,
};

/** IP and UDP header, bytes. */
const OVERHEAD = { 4: 28, 6: 48 } as const;

const FIRST_PORT = 8285;

/** Two tunnels cannot have one port, so it tells devices apart; the usual one has the usual name. */
const deviceName = (port: number): string => (port === FIRST_PORT ? 'moor-udp0' : `moor-udp${port}`);

/** A tunnel has one socket, of one family: that by which this host prefers to be reached. It carries both. */
const localOf = ({ underlay }: Site): { readonly address: IfAddress; readonly family: 4 | 6 } | null => {
  const [address] = underlay.addresses;
  return address === undefined ? null : { address, family: familyOf(address) };
};

function overhead(site: Site): number {
  return OVERHEAD[localOf(site)?.family ?? 4];
}

function planNetwork(site: Site): readonly Change[] {
  const { network, options, underlay, alias } = site;
  const name = deviceName(options.port);
  const mtu = underlay.mtu - overhead(site);
  const families = (network.ranges ?? []).map((range) => familyOf(range));
  return [
    { kind: 'link', op: 'add', netns: HOST, link: { name, kind: { type: 'tun' }, up: true, mtu, alias } },
    ...addressing(site, { device: name, mtu, families }),
  ];
}

function planPeer(site: Site, peer: Peer): PeerPlan {
  const family = localOf(site)?.family ?? 4;
  const at = peerAddress(peer, family);
  if (at === null) {
    return {
      changes: [],
      trouble: `${peer.node} (${peer.address}) has no IPv${family} address, and the tunnel of this host is at ${site.underlay.addresses.join(', ')}`,
    };
  }
  const device = deviceName(site.options.port);
  const way = (destination: Prefix): Change =>
    add({ destination, device, ...pathMtu(site, { destination, at, overhead: OVERHEAD[family] }) });
  return { changes: peer.subnets.map(way), trouble: '' };
}

function tunnel(site: Site, peers: readonly Peer[]): TunnelSpec | null {
  const local = localOf(site);
  if (local === null) return null;
  const { address, family } = local;
  return {
    device: deviceName(site.options.port),
    local: { address: addressOf(address), port: site.options.port },
    underlay: site.underlay.device,
    peers: peers.flatMap((peer): TunnelPeer[] => {
      const at = peerAddress(peer, family);
      const endpoint = { port: peer.port ?? site.options.port };
      return at === null
        ? []
        : [{ name: peer.node, endpoint: { address: at, ...endpoint }, subnets: peer.subnets, own: peer.own }];
    }),
  };
}
