/** A network that spans hosts as this host has it: the bridge of the local driver, the backend's device, and the way to each peer. */
import { invalid, MoorError } from '../../base/errors.ts';
import { familyOf, type Prefix, prefixesOverlap } from '../../base/ip.ts';
import type { Change } from '../../contracts/change.ts';
import type { JoinPlan, NetworkDriver, PeerPlan } from '../../contracts/driver.ts';
import type { HostFacts } from '../../contracts/kernel.ts';
import type { Instance } from '../../model/instance.ts';
import { ownerAlias } from '../../model/names.ts';
import type { Network } from '../../model/network.ts';
import type { Peer } from '../../model/node.ts';
import { allocation } from './backends/alloc.ts';
import { add, type Backend, IPV4_MIN_MTU, IPV6_MIN_MTU, type Site } from './backends/backend.ts';
import { hostGateway } from './backends/host-gw.ts';
import { udp } from './backends/udp.ts';
import { vxlan } from './backends/vxlan.ts';
import {
  type BackendName,
  bridgeOptions,
  isTrue,
  MASQUERADE_OPTION,
  MTU_OPTION,
  parseOptions,
  type RoutedOptions,
} from './options.ts';
import { subnetFile, subnetFileChange } from './subnet-env.ts';

export interface Deps {
  readonly instance: Instance;
  /** Makes the part on this host: a bridge, endpoints, ports. */
  readonly local: NetworkDriver;
  /** Folder of subnet.env, for networks in flannel's layout: /run/flannel. */
  readonly flannelFolder: string;
}

const BACKEND = { 'host-gw': hostGateway, vxlan, udp, alloc: allocation } as const satisfies Record<BackendName, Backend>;
export const backendOf = ({ options }: Site): Backend => BACKEND[options.backend];

/** Options are read once for a network, not once for each of its peers. */
const parsed = new WeakMap<Network, RoutedOptions>();

function optionsOf(network: Network): RoutedOptions {
  const known = parsed.get(network);
  if (known !== undefined) return known;
  const options = parseOptions(network);
  parsed.set(network, options);
  return options;
}

/** @throws unavailable on a host that is in no cluster */
export function siteOf({ instance }: Deps, network: Network, host: HostFacts): Site {
  const { underlay } = host;
  if (underlay === undefined) {
    throw new MoorError(
      'unavailable',
      `Cannot set up network ${network.name}: this host is in no cluster (--cluster-store, --peers)`,
    );
  }
  return { network, options: optionsOf(network), underlay, host, alias: ownerAlias(instance.id, network.id) };
}

/** The network as the local driver sees it, with an MTU that leaves room for the backend's headers. */
export function localView({ local }: Deps, network: Network, mtu: number | null): Network {
  const options = bridgeOptions(network.options);
  if (mtu !== null) options[MTU_OPTION] ??= String(mtu);
  return { ...network, driver: local.type, scope: 'local', options };
}

/** Of sandboxes, bytes. IPv6 needs its least in any case; larger packets of the tunnel then travel in fragments. */
const mtuOf = (site: Site): number =>
  Math.max(site.underlay.mtu - backendOf(site).overhead(site), site.network.ipv6 ? IPV6_MIN_MTU : IPV4_MIN_MTU);

export function planNetwork(deps: Deps, network: Network, host: HostFacts): readonly Change[] {
  const site = siteOf(deps, network, host);
  const backend = backendOf(site);
  return [
    ...deps.local.planNetwork(localView(deps, network, mtuOf(site)), host),
    ...backend.planNetwork(site),
    ...subnetFileOf(deps, site),
    ...(backend.closed
      ? (network.ranges ?? []).map((range) => add({ type: 'unreachable', destination: range, metric: LAST }))
      : []),
  ];
}

/** Others on this host, such as CNI's flannel plugin, learn of its part by a file. */
function subnetFileOf({ flannelFolder }: Deps, site: Site): readonly Change[] {
  const { network, options } = site;
  if (options.flannelPrefix === null) return [];
  const { [MTU_OPTION]: mtu = String(mtuOf(site)), [MASQUERADE_OPTION]: masquerade = 'true' } = network.options;
  const told = { mtu: Number(mtu), masquerade: isTrue(masquerade) };
  return subnetFileChange(subnetFile(flannelFolder, options.flannelPrefix), network, told);
}

/**
 * One endpoint. Its sandbox is told the way to the range, which its default route need not be: that may lead through another network, and an internal
 * one offers none.
 */
export function planJoin(
  deps: Deps,
  network: Network,
  { join, host }: { readonly join: Parameters<NetworkDriver['planJoin']>[1]; readonly host: HostFacts },
): JoinPlan {
  const plan = deps.local.planJoin(localView(deps, network, mtuOf(siteOf(deps, network, host))), join, host);
  const { endpoint, netns } = join;
  const ways = (network.ranges ?? []).flatMap((destination): Change[] => {
    const family = familyOf(destination);
    const via = network.pools.find((pool) => pool.family === family)?.gateway ?? null;
    if (via === null || (family === 4 ? endpoint.ipv4 : endpoint.ipv6) === null) return [];
    return [{ kind: 'route', op: 'add', netns, route: { destination, via, device: endpoint.interfaceName } }];
  });
  return { ...plan, changes: [...plan.changes, ...ways] };
}

/** Behind every route to the range that somebody else may have. */
const LAST = 2 ** 31;

export function planPeer(
  deps: Deps,
  network: Network,
  { peer, host }: { readonly peer: Peer; readonly host: HostFacts },
): PeerPlan {
  const site = siteOf(deps, network, host);
  const { rest, taken } = apart(network, peer);
  const plan = backendOf(site).planPeer(site, rest);
  if (taken.length === 0) return plan;
  const clash = `${peer.node} (${peer.address}) says that it has ${taken.join(', ')}, which this host has`;
  return { ...plan, trouble: plan.trouble === '' ? clash : `${clash}; ${plan.trouble}` };
}

/**
 * What a peer has beside this host. Where it says that it has what this host has (a lease that ran out while endpoints have addresses of it, or damage in the store),
 * its route would take the place of the bridge's own.
 */
export function apart({ pools }: Network, peer: Peer): { readonly rest: Peer; readonly taken: readonly Prefix[] } {
  const taken = peer.subnets.filter((subnet) => pools.some((pool) => prefixesOverlap(pool.subnet, subnet)));
  return {
    rest: taken.length === 0 ? peer : { ...peer, subnets: peer.subnets.filter((subnet) => !taken.includes(subnet)) },
    taken,
  };
}

/**
 * Two networks of a host cannot share a device or a socket, so they must differ in what names it.
 * @throws invalid without a range; conflict for what another routed network has; else as `parseOptions`
 */
export function checkNetwork(network: Network, others: readonly Network[]): void {
  const options = optionsOf(network);
  if ((network.ranges ?? []).length === 0) {
    throw invalid(`Cannot create network ${network.name}: driver routed needs a --subnet, of which each host gets a part`);
  }
  for (const other of others) {
    if (other.id === network.id || other.driver !== network.driver) continue;
    const clash = clashOf(options, optionsOf(other));
    if (clash === null) continue;
    throw new MoorError('conflict', `Cannot create network ${network.name}: network ${other.name} has ${clash}`);
  }
}

function clashOf(a: RoutedOptions, b: RoutedOptions): string | null {
  if (a.backend === 'vxlan' && b.backend === 'vxlan') {
    return a.vni === b.vni ? `VNI ${a.vni}: choose another one with -o vni=NUMBER` : null;
  }
  // A port is the kernel's for all VXLAN devices, or one tunnel's.
  return a.port !== 0 && a.port === b.port ? `UDP port ${a.port}: choose another one with -o port=NUMBER` : null;
}
