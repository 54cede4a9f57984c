/** What the kernel should hold for a network, a sandbox, an endpoint: stored data and host facts in, changes out. */
import { type Family, familyOf } from '../base/ip.ts';
import { type Change, HOST, type Netns } from '../contracts/change.ts';
import type { JoinPlan } from '../contracts/driver.ts';
import { inversePlan, subsume } from '../contracts/inverse.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Network } from '../model/network.ts';
import type { Peer, RemoteEndpoint } from '../model/node.ts';
import type { Endpoint, Sandbox } from '../model/sandbox.ts';
import { type Context, driverOf } from './context.ts';
import { sysctlChanges } from './endpoint-options.ts';
import { sandboxFiles } from './files.ts';
import { endedFlows, isLasting } from './port-flows.ts';
import { chooseGateways, type DefaultGateways, gatewayChanges, NO_GATEWAYS } from './gateway.ts';
import { isNamed, nameChanges } from './names.ts';
import { sourceRoutes } from './source-routes.ts';
import type { Way, Ways } from './way.ts';

export const netnsOf = (sandbox: Sandbox): Netns => (sandbox.netns.type === 'host' ? HOST : sandbox.netns.path);

/** What the drivers need once per daemon. */
export const hostChanges = (ctx: Context, facts: HostFacts): Change[] =>
  ctx.drivers.flatMap((driver) => driver.planHost?.(facts) ?? []);

/** What an earlier day's `hostChanges` may have left. */
export const staleHostChanges = (ctx: Context, facts: HostFacts): Change[] =>
  ctx.drivers.flatMap((driver) => driver.planHostStale?.(facts) ?? []);

/** Whether it has a part on this host only while it has endpoints here. */
export const isOnDemand = (ctx: Context, { driver }: Network): boolean => driverOf(ctx, driver).capabilities.onDemand === true;

/** What a network has on this host now. */
export const networkChanges = (ctx: Context, network: Network, facts: HostFacts): readonly Change[] =>
  isOnDemand(ctx, network) && ctx.registry.ports(network.id) === 0
    ? []
    : [
        ...wholeNetwork(ctx, network, facts),
        ...remoteChanges(ctx, network, { remotes: [...(ctx.remotes.get(network.id)?.values() ?? [])], facts }),
      ];

/** All that it may have, with the way to each peer, of a network that spans hosts. */
export function wholeNetwork(ctx: Context, network: Network, facts: HostFacts): readonly Change[] {
  const changes = driverOf(ctx, network.driver).planNetwork(network, facts);
  const peers = ctx.peers.get(network.id);
  return peers === undefined ? changes : [...changes, ...peerChanges(ctx, network, { peers, facts })];
}

/** The way to these peers. */
export function peerChanges(
  ctx: Context,
  network: Network,
  { peers, facts }: { readonly peers: readonly Peer[]; readonly facts: HostFacts },
): Change[] {
  const { planPeer } = driverOf(ctx, network.driver);
  return planPeer === undefined ? [] : peers.flatMap((peer) => planPeer(network, peer, facts).changes);
}

/** What leads to these endpoints of other hosts. */
export function remoteChanges(
  ctx: Context,
  network: Network,
  { remotes, facts }: { readonly remotes: readonly RemoteEndpoint[]; readonly facts: HostFacts },
): Change[] {
  const { planRemote } = driverOf(ctx, network.driver);
  return planRemote === undefined ? [] : remotes.flatMap((endpoint) => planRemote(network, endpoint, facts));
}

/** Of `networkChanges` what stands in the host's nftables. */
export function networkRules(ctx: Context, network: Network, facts: HostFacts): readonly Change[] {
  const { planNetworkRules } = driverOf(ctx, network.driver);
  const alone = !isOnDemand(ctx, network) && ctx.peers.get(network.id) === undefined && ctx.remotes.get(network.id) === undefined;
  return planNetworkRules !== undefined && alone
    ? planNetworkRules(network, facts)
    : networkChanges(ctx, network, facts).filter(isHostNft);
}

/** Tables inside sandboxes belong to their sandboxes: there may be a thousand. */
export const isHostNft = (change: Change): boolean =>
  (change.kind === 'nft-table' && (change.netns ?? HOST) === HOST) || change.kind === 'nft-element' || change.kind === 'nft-rule';

export const networkRemoval = (ctx: Context, network: Network, facts: HostFacts): Change[] =>
  subsume(inversePlan(networkChanges(ctx, network, facts)));

export const wholeNetworkRemoval = (ctx: Context, network: Network, facts: HostFacts): Change[] =>
  subsume(inversePlan(wholeNetwork(ctx, network, facts)));

/** The namespace itself. */
export function namespaceChanges({ netns }: Sandbox): Change[] {
  switch (netns.type) {
    case 'own':
      return [{ kind: 'netns', op: 'add', path: netns.path }];
    case 'adopted':
      return [{ kind: 'netns-pin', op: 'add', path: netns.path, source: netns.source }];
    case 'host':
      return [];
  }
}

interface Join {
  readonly endpoint: Endpoint;
  readonly network: Network;
  readonly plan: JoinPlan;
}

/** @param network given when it is not in the registry yet. */
function join(
  ctx: Context,
  { sandbox, endpoint }: { readonly sandbox: Sandbox; readonly endpoint: Endpoint },
  facts: HostFacts,
): Join | null {
  const network = ctx.registry.networks.get(endpoint.networkId);
  if (network === undefined) {
    ctx.logger.error(
      { endpoint: endpoint.id, sandbox: sandbox.name },
      `an endpoint's network ${endpoint.networkId} cannot be read`,
    );
    return null;
  }
  const netns = netnsOf(sandbox);
  const plan = driverOf(ctx, network.driver).planJoin(network, { endpoint, netns }, facts);
  return { endpoint, network, plan: { ...plan, changes: [...plan.changes, ...sysctlChanges(endpoint, netns)] } };
}

const joins = (ctx: Context, sandbox: Sandbox, facts: HostFacts): Join[] =>
  sandbox.endpoints.flatMap((endpoint) => join(ctx, { sandbox, endpoint }, facts) ?? []);

const gatewaysOf = (list: readonly Join[]): DefaultGateways =>
  chooseGateways(
    list.map(({ endpoint, network, plan }) => ({
      networkName: network.name,
      interfaceName: endpoint.interfaceName,
      priority: endpoint.gatewayPriority,
      gateway4: plan.gateway4,
      gateway6: plan.gateway6,
    })),
  );

const sourcesOf = (netns: Netns, list: readonly Join[]): Change[] =>
  sourceRoutes(
    netns,
    list.map(({ endpoint, plan: { gateway4, gateway6 } }) => ({ endpoint, gateway4, gateway6 })),
    gatewaysOf(list),
  );

function waysOf(ctx: Context, list: readonly Join[]): Ways {
  const gateways = gatewaysOf(list);
  const way = (gateway: DefaultGateways['v4']): Way | null => {
    const found = list.find(({ endpoint }) => endpoint.interfaceName === gateway?.device);
    return found !== undefined && driverOf(ctx, found.network.driver).planPorts !== undefined ? found : null;
  };
  return { v4: way(gateways.v4), v6: way(gateways.v6) };
}

export const waysOut = (ctx: Context, sandbox: Sandbox, facts: HostFacts): Ways => waysOf(ctx, joins(ctx, sandbox, facts));

/** Published ports, each family at its way out. */
function portChanges(
  ctx: Context,
  { ports = [], list }: { readonly ports: Sandbox['ports']; readonly list: readonly Join[] },
  facts: HostFacts,
): Change[] {
  if (ports.length === 0) return [];
  const { v4, v6 } = waysOf(ctx, list);
  const to = (way: Way, families: readonly Family[]): readonly Change[] => {
    const own = ports.filter(({ hostAddress }) => families.includes(familyOf(hostAddress)));
    return driverOf(ctx, way.network.driver).planPorts?.(way.network, { endpoint: way.endpoint, ports: own }, facts) ?? [];
  };
  if (v4?.endpoint === v6?.endpoint) return v4 === null ? [] : [...to(v4, [4, 6])];
  return [...(v4 === null ? [] : to(v4, [4])), ...(v6 === null ? [] : to(v6, [6]))];
}

export const sandboxPortChanges = (ctx: Context, sandbox: Sandbox, facts: HostFacts): Change[] =>
  portChanges(ctx, { ports: sandbox.ports, list: joins(ctx, sandbox, facts) }, facts);

/** From one list of changes to another: what is in both stays. */
export function difference(
  before: readonly Change[],
  after: readonly Change[],
): { readonly gone: Change[]; readonly come: readonly Change[] } {
  const keys = (list: readonly Change[]): Set<string> => new Set(list.map((change) => JSON.stringify(change)));
  const [old, wanted] = [keys(before), keys(after)];
  return {
    gone: inversePlan(before.filter((change) => !wanted.has(JSON.stringify(change)))),
    come: after.filter((change) => !old.has(JSON.stringify(change))),
  };
}

/** A whole sandbox: namespace, files, every endpoint, the way out, published ports. */
export function sandboxChanges(ctx: Context, sandbox: Sandbox, facts: HostFacts): Change[] {
  const all = joins(ctx, sandbox, facts);
  return [
    ...namespaceChanges(sandbox),
    ...nameChanges(ctx, sandbox),
    ...sandboxFiles(ctx, { before: null, after: sandbox }, facts),
    ...all.flatMap(({ plan }) => plan.changes),
    ...gatewayChanges(netnsOf(sandbox), NO_GATEWAYS, gatewaysOf(all)),
    ...sourcesOf(netnsOf(sandbox), all),
    ...portChanges(ctx, { ports: sandbox.ports, list: all }, facts),
  ];
}

/** Who sends on to its ports must not reach whoever gets its address next. */
export const sandboxRemoval = (ctx: Context, sandbox: Sandbox, facts: HostFacts): Change[] => {
  const ports = sandbox.ports?.filter(isLasting) ?? [];
  const ended = ports.length === 0 ? [] : endedFlows(ports, waysOut(ctx, sandbox, facts));
  return [...subsume(inversePlan(sandboxChanges(ctx, sandbox, facts))), ...ended];
};

/** Two values of one sandbox that differ by an endpoint, and perhaps in its ports. The other endpoints are the same objects. */
export interface Attach {
  readonly without: Sandbox;
  readonly with: Sandbox;
  readonly endpoint: Endpoint;
}

/** What both have, each endpoint planned once. */
function joinsOf(
  ctx: Context,
  attach: Attach,
  facts: HostFacts,
): { readonly alone: readonly Join[]; readonly together: readonly Join[]; readonly own: readonly Change[] } {
  const together = joins(ctx, attach.with, facts);
  const own = together.find(({ endpoint }) => endpoint === attach.endpoint);
  return { alone: together.filter((one) => one !== own), together, own: own?.plan.changes ?? [] };
}

export function connectChanges(ctx: Context, attach: Attach, facts: HostFacts): Change[] {
  const netns = netnsOf(attach.with);
  const { alone, together, own } = joinsOf(ctx, attach, facts);
  const sources = difference(sourcesOf(netns, alone), sourcesOf(netns, together));
  const ports = difference(
    portChanges(ctx, { ports: attach.without.ports, list: alone }, facts),
    portChanges(ctx, { ports: attach.with.ports, list: together }, facts),
  );
  return [
    ...ports.gone,
    ...own,
    ...sources.gone,
    ...gatewayChanges(netns, gatewaysOf(alone), gatewaysOf(together)),
    ...sources.come,
    ...ports.come,
    ...(isNamed(ctx.registry.networks, attach.without) ? [] : nameChanges(ctx, attach.with)),
    ...sandboxFiles(ctx, { before: attach.without, after: attach.with }, facts),
  ];
}

export function disconnectChanges(ctx: Context, attach: Attach, facts: HostFacts): Change[] {
  const netns = netnsOf(attach.with);
  const { alone, together, own } = joinsOf(ctx, attach, facts);
  const routes = gatewayChanges(netns, gatewaysOf(together), gatewaysOf(alone));
  const sources = difference(sourcesOf(netns, together), sourcesOf(netns, alone));
  const ports = difference(
    portChanges(ctx, { ports: attach.with.ports, list: together }, facts),
    portChanges(ctx, { ports: attach.without.ports, list: alone }, facts),
  );
  const leave = inversePlan(own);
  return subsume([
    ...ports.gone,
    ...sources.gone,
    // Not the plain inverse of connect: the new default route may only come when the old one has gone, and that goes with its device.
    ...routes.filter((change) => change.kind === 'route' && change.op === 'remove'),
    ...leave,
    ...routes.filter((change) => change.kind === 'route' && change.op === 'add'),
    ...sources.come,
    ...ports.come,
    ...(isNamed(ctx.registry.networks, attach.without) ? [] : inversePlan(nameChanges(ctx, attach.with))),
    ...sandboxFiles(ctx, { before: attach.with, after: attach.without }, facts),
  ]);
}
