/** Links and what hangs off them: addresses, neighbours, forwarding entries. */
import { type Change, HOST, type Link, type LinkAttributes, type Netns } from '../../contracts/change.ts';
import { addressOf, bitsOf, familyOf, type IfAddress, lengthOf, prefixOf } from '../../base/ip.ts';
import type { LinkState } from '../../contracts/kernel.ts';
import type { Actual, Repair } from './actual.ts';

type Of<K extends Change['kind']> = Extract<Change, { readonly kind: K }>;

/** kind of link -> IFLA_INFO_KIND; a persistent tap shows as `tun` too. */
const KERNEL_KIND = {
  veth: 'veth',
  bridge: 'bridge',
  vxlan: 'vxlan',
  macvlan: 'macvlan',
  tun: 'tun',
  tap: 'tun',
  dummy: 'dummy',
} as const;

export function missingLink(change: Of<'link'>, actual: Actual): Repair<Change>[] {
  const { netns, link } = change;
  const state = actual.link(netns, link.name);
  if (state === undefined) {
    const left = leftEnd(change, actual);
    const why = left === null ? 'it was deleted' : 'it was moved or renamed';
    return [...(left === null ? [] : [{ change: left, why }]), { change, why }];
  }
  if (state.type !== KERNEL_KIND[link.kind.type])
    return [{ change, why: `${link.name} is a link of type ${state.type || 'physical'}` }];
  if (link.alias !== undefined && state.alias !== link.alias) return [{ change, why: `${link.name} belongs to somebody else` }];
  const moved = movedVtep(link, state);
  if (moved !== null) {
    return [
      { change: { ...change, op: 'remove' }, why: moved },
      { change, why: moved },
    ];
  }
  const own = {
    up: link.up ? true : undefined,
    mtu: link.mtu,
    mac: link.mac,
    master: link.master,
    isolated: link.isolated,
    hairpin: link.hairpin,
    static: link.static,
    group: link.group,
  };
  const repairs = missingAttributes({ netns, name: link.name, wanted: own }, state);
  return link.kind.type === 'veth' ? [...repairs, ...missingPeer(change, link.kind.peer, actual)] : repairs;
}

/** A VTEP that sends from an address that the host has no more sends nothing; it is made anew, as are the entries that hang off it. */
function movedVtep({ kind }: Link, { vxlan }: LinkState): string | null {
  if (kind.type !== 'vxlan' || vxlan === undefined) return null;
  if (vxlan.vni !== kind.vni) return `its VNI was ${vxlan.vni}`;
  if (vxlan.port !== kind.port) return `its port was ${vxlan.port}`;
  return vxlan.local === (kind.local ?? '') ? null : `its local address was ${vxlan.local === '' ? 'any' : vxlan.local}`;
}

/**
 * The other end of a pair whose end here was renamed or moved away: it goes first, and takes the lost one with it. It is known by its MAC
 * address, for in an adopted namespace somebody may have a device of that name.
 */
function leftEnd({ netns, link }: Of<'link'>, actual: Actual): Change | null {
  if (link.kind.type !== 'veth') return null;
  const { peer } = link.kind;
  const state = actual.link(peer.netns, peer.name);
  if (state?.type !== 'veth' || (peer.mac !== undefined && state.mac !== peer.mac)) return null;
  const kind = { type: 'veth', peer: { name: link.name, netns } } as const;
  return { kind: 'link', op: 'remove', netns: peer.netns, link: { name: peer.name, kind, up: false } };
}

/** A peer that is not where it belongs was renamed or moved away: the pair is made anew, which takes the lost end with it. */
function missingPeer(
  change: Of<'link'>,
  peer: Extract<Link['kind'], { type: 'veth' }>['peer'],
  actual: Actual,
): Repair<Change>[] {
  const state = actual.link(peer.netns, peer.name);
  if (state === undefined) {
    const why = `its other end ${peer.name} was moved or renamed`;
    return [
      { change: { ...change, op: 'remove' }, why },
      { change, why },
    ];
  }
  return missingAttributes({ netns: peer.netns, name: peer.name, wanted: { mtu: peer.mtu, mac: peer.mac } }, state);
}

/** Every attribute, each possibly not wanted. */
type Wish = { readonly [K in keyof LinkAttributes]?: LinkAttributes[K] | undefined };

function missingAttributes(
  { netns, name, wanted }: { readonly netns: Netns; readonly name: string; readonly wanted: Wish },
  state: LinkState,
): Repair<Change>[] {
  const value: Record<string, unknown> = {};
  const old: Record<string, unknown> = {};
  const why: string[] = [];
  for (const key of ['up', 'mtu', 'mac', 'master', 'isolated', 'hairpin', 'static', 'group'] as const) {
    const [want, have] = [wanted[key], state[key]];
    if (want === undefined || want === have) continue;
    value[key] = want;
    if (have !== undefined) old[key] = have;
    why.push(key === 'up' ? `it was ${want === true ? 'down' : 'up'}` : `its ${key} was ${have === '' ? 'none' : String(have)}`);
  }
  if (why.length === 0) return [];
  return [
    {
      change: { kind: 'link-set', netns, name, value, old },
      why: why.join(', '),
    },
  ];
}

export function missingLinkSet(change: Of<'link-set'>, actual: Actual): Repair<Change>[] {
  const state = actual.link(change.netns, change.name);
  if (state === undefined) return [{ change, why: 'it was deleted' }];
  const { up, mtu, mac, master, isolated, hairpin, static: fixed, group } = change.value;
  return missingAttributes(
    { netns: change.netns, name: change.name, wanted: { up, mtu, mac, master, isolated, hairpin, static: fixed, group } },
    state,
  );
}

export function missingAddress(change: Of<'address'>, actual: Actual): Repair<Change>[] {
  const { netns, device, address } = change;
  if (!actual.hasAddress(netns, device, address)) return [{ change, why: 'it was deleted' }];
  return missingConnected({ netns, device, address }, actual);
}

/** IP6_RT_PRIO_ADDRCONF, <net/ip6_route.h>: the metric of the route that the kernel makes for an IPv6 address. */
const METRIC_CONNECTED6 = 256;

/**
 * The route to an address's own subnet, which the kernel makes with the address and does not make again: `ip route flush` takes it,
 * and without it no gateway can be reached. While the device is down there is none, and it comes with the device.
 */
function missingConnected(
  { netns, device, address }: { readonly netns: Netns; readonly device: string; readonly address: IfAddress },
  actual: Actual,
): Repair<Change>[] {
  const family = familyOf(address);
  if (lengthOf(address) === bitsOf(family) || actual.link(netns, device)?.up !== true) return [];
  const destination = prefixOf(address);
  const routes = actual.namespace(netns)?.routes ?? [];
  if (routes.some((route) => route.destination === destination && route.device === device && route.via === undefined)) return [];
  const own = family === 4 ? { source: addressOf(address) } : { metric: METRIC_CONNECTED6 };
  return [{ change: { kind: 'route', op: 'add', netns, route: { destination, device, ...own } }, why: 'it was deleted' }];
}

export function missingNeighbour(change: Of<'neighbour'>, actual: Actual): Repair<Change>[] {
  const { device, address, mac } = change.neighbour;
  const found = actual.neighbour(change.netns, device, address);
  if (found === undefined) return [{ change, why: 'it was deleted' }];
  if (found.mac === mac) return [];
  const why = `it pointed to ${found.mac}`;
  return [
    { change: { ...change, op: 'remove', neighbour: found }, why },
    { change, why },
  ];
}

export function missingFdb(change: Of<'fdb'>, actual: Actual): Repair<Change>[] {
  const { device, mac, destination } = change.entry;
  const entries = actual.fdb(change.netns, device, mac);
  return entries.some((one) => one.destination === destination) ? [] : [{ change, why: 'it was deleted' }];
}

/**
 * Some sysctls of the host are known from the facts. Others are not, nor those of sandboxes: whether they are right, the executor
 * finds out.
 */
export function missingSysctl(change: Of<'sysctl'>, actual: Actual, unseen: boolean): Repair<Change>[] {
  const have = change.netns === HOST ? actual.facts.sysctls[change.key] : undefined;
  if (have === undefined) return unseen ? [{ change, why: 'it was changed' }] : [];
  return have === change.value ? [] : [{ change: { ...change, old: have }, why: `it was ${have}` }];
}
