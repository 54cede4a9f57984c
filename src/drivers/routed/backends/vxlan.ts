/**
 * `vxlan`: one VTEP for each family of the underlay. A peer is one route for each subnet, by way of the subnet's first address, which its VTEP has; the MAC
 * address of that one, and where that MAC address is. All of it is known beforehand, so nothing is flooded or learned.
 */
import { addressOf, bitsOf, type Family, familyOf, type IpAddress, lengthOf, type Prefix } from '../../../base/ip.ts';
import { type Mac, randomMac } from '../../../base/mac.ts';
import { type Change, HOST } from '../../../contracts/change.ts';
import type { PeerPlan } from '../../../contracts/driver.ts';
import type { NodePart, Peer } from '../../../model/node.ts';
import {
  add,
  addressing,
  type Backend,
  isOnLink,
  join,
  ownAddress,
  pathMtu,
  peerAddress,
  plainRoute,
  type Site,
} from './backend.ts';

export const vxlan: Backend = { overhead, closed: true, planNetwork, planPeer, part, tunnel: () => null };

/** Outer IP and UDP header, VXLAN header, inner Ethernet header: 20 or 40, 8, 8, 14 bytes (RFC 7348 section 5). */
const OVERHEAD = { 4: 50, 6: 70 } as const;

/** At most 15 characters, as a VNI has 8 digits at most. */
const deviceName = (vni: number, outer: Family): string => (outer === 4 ? `moor-vx${vni}` : `moor6vx${vni}`);

const familiesOf = ({ network }: Site): readonly Family[] => (network.ranges ?? []).map((range) => familyOf(range));

/**
 * Packets of a family travel over the same family, as flannel's do, and over the other one where the underlay has only that.
 * @returns families of VTEPs
 */
const outerFamilies = (site: Site): readonly Family[] => outerOf(site, (family) => ownAddress(site.underlay, family) !== null);

/** Of a host that has these addresses on the underlay. */
function outerOf(site: Site, has: (family: Family) => boolean): readonly Family[] {
  const there = ([4, 6] as const).filter(has);
  const families = familiesOf(site);
  return families.every((family) => there.includes(family)) ? there.filter((family) => families.includes(family)) : there;
}

/** Families of the network that may come through a VTEP. */
const innerFamilies = (site: Site, outer: Family): readonly Family[] =>
  familiesOf(site).filter((family) => family === outer || ownAddress(site.underlay, family) === null);

/** The largest there is: a sandbox does not know which way its packets go. */
function overhead(site: Site): number {
  const used = outerFamilies(site).filter((outer) => innerFamilies(site, outer).length > 0);
  return Math.max(0, ...used.map((outer) => OVERHEAD[outer]));
}

function planNetwork(site: Site): readonly Change[] {
  const { options, underlay, alias } = site;
  return outerFamilies(site).flatMap((outer): Change[] => {
    const local = ownAddress(underlay, outer);
    if (local === null) return [];
    const name = deviceName(options.vni, outer);
    const mtu = underlay.mtu - OVERHEAD[outer];
    return [
      {
        kind: 'link',
        op: 'add',
        netns: HOST,
        link: {
          name,
          kind: { type: 'vxlan', vni: options.vni, port: options.port, local, learning: false },
          up: true,
          mtu,
          mac: vtepMac(site, underlay.node, outer),
          alias,
        },
      },
      ...(leavesChecksums(site) ? [] : [made(name)]),
      ...addressing(site, { device: name, mtu, families: innerFamilies(site, outer) }),
    ];
  });
}

/** Whether checksums of what is inside may be left to whatever device packets leave by. */
const leavesChecksums = ({ options: { checksums }, underlay: { brokenChecksums = false } }: Site): boolean =>
  checksums === 'on' || (checksums === 'auto' && !brokenChecksums);

/** The kernel makes them before the VTEP then, and segments there, too. */
const made = (device: string): Change => ({ kind: 'offload', netns: HOST, device, checksums: false, old: true });

function planPeer(site: Site, peer: Peer): PeerPlan {
  const changes: Change[] = [];
  const troubles: string[] = [];
  const known = new Set<Family>();
  for (const subnet of peer.subnets) {
    const family = familyOf(subnet);
    const direct = peerAddress(peer, family);
    if (site.options.directRouting && direct !== null && isOnLink(site.underlay, direct)) {
      changes.push(plainRoute(site, subnet, direct));
      continue;
    }
    const way = wayTo(site, peer, family);
    if (way === null) {
      troubles.push(`${peer.node} (${peer.address}) tells no VTEP that this host could send to`);
      continue;
    }
    const device = deviceName(site.options.vni, way.outer);
    if (!known.has(way.outer)) {
      changes.push({ kind: 'fdb', op: 'add', netns: HOST, entry: { device, mac: way.mac, destination: way.address } });
      known.add(way.outer);
    }
    const mtu = pathMtu(site, { destination: subnet, at: way.address, overhead: OVERHEAD[way.outer] });
    changes.push(...subnetChanges(subnet, { device, mac: way.mac, ...mtu }));
  }
  return { changes, trouble: join(troubles) };
}

/** The route last: from then on there are packets, which the neighbour is for. */
function subnetChanges(
  subnet: Prefix,
  { device, mac, ...mtu }: { readonly device: string; readonly mac: Mac; readonly mtu?: number },
): Change[] {
  const via = addressOf(subnet);
  // A subnet of one address is its own gateway.
  const route =
    lengthOf(subnet) === bitsOf(familyOf(subnet))
      ? { destination: subnet, device, ...mtu }
      : { destination: subnet, via, device, onlink: true, ...mtu };
  return [
    { kind: 'neighbour', op: 'add', netns: HOST, neighbour: { device, address: via, mac, state: 'permanent' } },
    add(route),
  ];
}

/** Both ends come to the same answer, because both know the same of each other. */
function wayTo(
  site: Site,
  peer: Peer,
  family: Family,
): { readonly outer: Family; readonly mac: Mac; readonly address: IpAddress } | null {
  const own = outerFamilies(site);
  for (const outer of family === 4 ? ([4, 6] as const) : ([6, 4] as const)) {
    const mac = vtepOf(site, peer, outer);
    const address = peerAddress(peer, outer);
    if (own.includes(outer) && mac !== null && address !== null) return { outer, mac, address };
  }
  return null;
}

/**
 * What it tells; of a host of ours that tells nothing, because it stands in a file, what it must have. null: it has none, as far as is known.
 */
function vtepOf(site: Site, peer: Peer, outer: Family): Mac | null {
  const { vtep4, vtep6 } = peer;
  const told = outer === 4 ? vtep4 : vtep6;
  if (told !== undefined) return told;
  const silent = peer.own && (vtep4 ?? vtep6) === undefined;
  const has = silent && outerOf(site, (family) => peerAddress(peer, family) !== null).includes(outer);
  return has ? vtepMac(site, peer.node, outer) : null;
}

function part(site: Site): Omit<NodePart, 'inUse'> {
  const families = outerFamilies(site);
  return {
    ...(families.includes(4) ? { vtep4: vtepMac(site, site.underlay.node, 4) } : {}),
    ...(families.includes(6) ? { vtep6: vtepMac(site, site.underlay.node, 6) } : {}),
  };
}

/**
 * The same after a restart, when peers still have it, and known to whoever knows a host's name: another for each host of a VNI (FNV-1a, 64 bits:
 * isthe.com/chongo/tech/comp/fnv).
 */
function vtepMac({ options: { vni } }: Site, node: string, outer: Family): Mac {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(`vxlan ${vni} ${outer} ${node}`)) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  // Names of hosts differ in their last letters, which have not reached the upper bits yet.
  hash ^= hash >> 32n;
  hash = (hash * 0xd6e8feb86659fd93n) & 0xffffffffffffffffn;
  return randomMac(Uint8Array.from({ length: 6 }, (_, i) => Number((hash >> BigInt(56 - 8 * i)) & 0xffn)));
}
