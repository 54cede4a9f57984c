/**
 * Endpoints of other hosts on networks that span hosts, as this host has them: names for the name service, neighbours and forwarding entries
 * for the kernel. Nothing is stored of them: the cluster keeps what it knew (src/cluster/kept-store.ts), and what the kernel has stays as
 * it is until the cluster is heard again.
 */
import type { Id } from '../base/ids.ts';
import { addressOf, type IpAddress } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { Change } from '../contracts/change.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { NameRecord } from '../contracts/resolver.ts';
import type { Network } from '../model/network.ts';
import type { Peer, RemoteEndpoint } from '../model/node.ts';
import { type Context, driverOf, spans } from './context.ts';
import { failures } from './executor.ts';
import { difference, isOnDemand, remoteChanges } from './plans.ts';

export type Remotes = ReadonlyMap<Id, RemoteEndpoint>;

const NONE: Remotes = new Map();

/** At the start, before anything is compared with the kernel: what the cluster knows, also from before. */
export function loadRemotes(ctx: Context): void {
  for (const { network, endpoints } of ctx.cluster?.networks() ?? [])
    if (ctx.registry.networks.has(network.id) && endpoints.size > 0) {
      leave(ctx, network.id, endpoints);
      enter(ctx, network.id, [...endpoints.values()]);
    }
}

/**
 * From those that this host has to those that there are. What is in both stays as it is.
 * @returns whether all of it worked; if not, the next comparison with the kernel finds what is missing.
 */
export async function applyRemotes(
  ctx: Context,
  network: Network,
  { endpoints, facts }: { readonly endpoints: Remotes; readonly facts: HostFacts },
): Promise<boolean> {
  // A part that is made meanwhile is made with these, or finds them made.
  using _lock = await ctx.locks.hold(network.id);
  const before = ctx.remotes.get(network.id) ?? NONE;
  const { gone, come } = changed(before, endpoints);
  if (gone.length + come.length === 0) return true;
  leave(ctx, network.id, endpoints);
  // Names last: whoever finds one finds the way there. Else the first packet waits a second for its MAC address.
  try {
    return await lead(ctx, network, { gone, come, facts });
  } finally {
    enter(ctx, network.id, come);
  }
}

/** Milliseconds that the first endpoint of a network on this host waits, at most, to know of the others. */
const MEET_MS = 1_000;

/**
 * The first endpoint of a network on this host is here: whoever starts in it finds the others by name at once. Waits for one listing of the
 * cluster's store, not for a store that is away. Never throws: they come later as well.
 */
export async function meetOthers(ctx: Context, network: Network, facts: HostFacts): Promise<void> {
  const { cluster } = ctx;
  if (cluster === undefined || !spans(ctx, network) || ctx.registry.ports(network.id) > 1) return;
  try {
    const enough = Promise.withResolvers<null>();
    const timer = setTimeout(() => enough.resolve(null), MEET_MS);
    const endpoints = await Promise.race([cluster.lookUp(network.id), enough.promise]).finally(() => clearTimeout(timer));
    if (endpoints !== null) await applyRemotes(ctx, network, { endpoints, facts });
  } catch (error) {
    ctx.logger.warn({ err: error, network: network.name }, 'endpoints of other hosts are not known yet');
  }
}

/** What has changed of a network's endpoints elsewhere, and the host that follows it. */
interface Difference {
  readonly gone: readonly RemoteEndpoint[];
  readonly come: readonly RemoteEndpoint[];
  readonly facts: HostFacts;
}

/** The kernel's part. @returns as `applyRemotes` */
async function lead(ctx: Context, network: Network, { gone, come, facts }: Difference): Promise<boolean> {
  // A network without a part here has nothing in the kernel, and gets all of it with that part.
  if (isOnDemand(ctx, network) && !ctx.segments.has(network.id)) return true;
  const steps = difference(
    remoteChanges(ctx, network, { remotes: gone, facts }),
    remoteChanges(ctx, network, { remotes: come, facts }),
  );
  const changes = [...steps.gone, ...steps.come, ...announcements(ctx, network, { gone, come, facts })];
  if (changes.length === 0) return true;
  const applied = await ctx.kernel.apply(changes, { keepGoing: true });
  // What is to go may have gone with its device, or by the hand of an administrator.
  const failed = failures(changes, applied).filter(
    ({ change, error }) => error.kind !== 'not-found' || ('op' in change && change.op === 'add'),
  );
  for (const { change, error } of failed.slice(0, REPORTED))
    ctx.logger.error({ network: network.name, change, error: error.message }, 'could not follow the endpoints of other hosts');
  return failed.length === 0;
}

/** Failures of one batch that are told; the next comparison finds the others as well. */
const REPORTED = 10;

/** For people: also where this host has no part. */
export async function remotesOf(ctx: Context, network: Id): Promise<readonly RemoteEndpoint[]> {
  const known = ctx.registry.networks.get(network);
  if (ctx.cluster === undefined || known === undefined || !spans(ctx, known)) return [];
  return [...(await ctx.cluster.lookUp(network)).values()].toSorted((a, b) => (a.sandbox < b.sandbox ? -1 : 1));
}

/** The network is no more. */
export function forgetRemotes(ctx: Context, network: Id): void {
  const known = ctx.remotes.get(network);
  if (known === undefined) return;
  ctx.remotes.delete(network);
  lastSeen.get(ctx)?.delete(network);
  ctx.resolver.remove([...known.keys()]);
}

/** From now on these are the ones; the name service forgets the others. */
function leave(ctx: Context, network: Id, endpoints: Remotes): void {
  const { gone } = changed(ctx.remotes.get(network) ?? NONE, endpoints);
  const away = gone.flatMap(({ id }) => (endpoints.has(id) ? [] : [id]));
  if (endpoints.size === 0) ctx.remotes.delete(network);
  else ctx.remotes.set(network, endpoints);
  if (away.length > 0) ctx.resolver.remove(away);
}

/** The name service knows these. */
function enter(ctx: Context, network: Id, endpoints: readonly RemoteEndpoint[]): void {
  if (endpoints.length > 0) ctx.resolver.put(endpoints.map((endpoint) => recordOf(network, endpoint)));
}

/** What is not the same object is not the same. */
function changed(before: Remotes, after: Remotes): { readonly gone: RemoteEndpoint[]; readonly come: RemoteEndpoint[] } {
  const without = (list: Remotes, other: Remotes): RemoteEndpoint[] =>
    list === other ? [] : [...list.values()].filter((endpoint) => other.get(endpoint.id) !== endpoint);
  return { gone: without(before, after), come: without(after, before) };
}

const recordOf = (network: Id, { id, names, addresses }: RemoteEndpoint): NameRecord => ({
  endpoint: id,
  network,
  names,
  addresses,
});

/** Which MAC address an address had last, here or elsewhere, by network; as long as the network has endpoints here. */
const lastSeen = new WeakMap<Context, Map<Id, Map<IpAddress, Mac>>>();

/** For addresses that others on the segment may know at another MAC address. */
function announcements(ctx: Context, network: Network, { gone, come, facts }: Difference): Change[] {
  const { planAnnounce } = driverOf(ctx, network.driver);
  if (planAnnounce === undefined) return [];
  const networks = lastSeen.get(ctx) ?? new Map<Id, Map<IpAddress, Mac>>();
  lastSeen.set(ctx, networks);
  const macs = networks.get(network.id) ?? new Map<IpAddress, Mac>();
  networks.set(network.id, macs);
  for (const { mac, addresses } of gone) for (const address of addresses) if (mac !== null) macs.set(address, mac);
  for (const { endpoint } of ctx.registry.attachments(network.id))
    for (const address of [endpoint.ipv4, endpoint.ipv6])
      if (address !== null && endpoint.mac !== null) macs.set(addressOf(address), endpoint.mac);
  const moved = come.filter(({ mac, addresses }) =>
    addresses.some((address) => mac !== null && macs.has(address) && macs.get(address) !== mac),
  );
  for (const { mac, addresses } of come) for (const address of addresses) if (mac !== null) macs.set(address, mac);
  return moved.flatMap((endpoint) => planAnnounce(network, endpoint, facts));
}

/** Other hosts with a part of a network: those that the cluster names, or, of one segment on all hosts, those with endpoints on it. */
export function peersOf(ctx: Context, network: Id): readonly Peer[] {
  const named = ctx.peers.get(network);
  if (named !== undefined && named.length > 0) return named;
  const hosts = new Map([...(ctx.remotes.get(network)?.values() ?? [])].map(({ node, hosts: addresses }) => [node, addresses]));
  return [...hosts]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([node, addresses]) =>
      addresses[0] === undefined ? [] : [{ node, address: addresses[0], addresses, subnets: [], own: true }],
    );
}
