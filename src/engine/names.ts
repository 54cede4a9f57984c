/** What the name service is told: who asks, which servers know the rest, who has which names. Docker's rules. */
import { addressOf, parseIp } from '../base/ip.ts';
import type { Id } from '../base/ids.ts';
import type { Change } from '../contracts/change.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { NameRecord, ResolverClient, Upstream } from '../contracts/resolver.ts';
import { dnsNames, parseLink } from '../model/dns-names.ts';
import type { Network } from '../model/network.ts';
import { mergeDns, parseResolvConf, RESOLVER_ADDRESS } from '../model/resolv-conf.ts';
import type { Endpoint, Sandbox, SandboxDns } from '../model/sandbox.ts';
import { askedFor } from '../model/way-out.ts';
import type { Context } from './context.ts';
import { tellCluster, untellCluster } from './own-endpoints.ts';

type Networks = ReadonlyMap<Id, Network>;

/** The service exists on networks that a user made: the default one has none, as in Docker. */
const hasNames = (network: Network | undefined): network is Network => network?.predefined === false;

export const isNamed = (networks: Networks, sandbox: Sandbox): boolean =>
  sandbox.netns.type !== 'host' && askedFor(sandbox).some(({ networkId }) => hasNames(networks.get(networkId)));

export interface NamesContext {
  readonly networks: Networks;
  /** `--dns`, `--dns-search`, `--dns-opt` of the daemon. */
  readonly daemonDns: SandboxDns | undefined;
  /** The host's resolv.conf. */
  readonly resolvConf: string;
}

/** null: it is not served. */
export function clientOf({ networks, daemonDns, resolvConf }: NamesContext, sandbox: Sandbox): ResolverClient | null {
  if (sandbox.netns.type === 'host') return null;
  const attached = askedFor(sandbox).flatMap((endpoint) => {
    const network = networks.get(endpoint.networkId);
    return network === undefined ? [] : [{ endpoint, network }];
  });
  const named = attached.filter(({ network }) => hasNames(network)).toSorted(wayOutFirst);
  if (named.length === 0) return null;
  const leaves = attached.some(({ network }) => !network.internal);
  const dns = mergeDns(sandbox.dns, daemonDns);
  return {
    sandbox: sandbox.id,
    netns: sandbox.netns.path,
    networks: named.map(({ network: { id, name } }) => ({ id, name })),
    links: linksOf(named.map(({ endpoint }) => endpoint)),
    upstreams: leaves ? upstreams(dns, resolvConf) : [],
    ...(dns.options.some((option) => /^ndots:0*[1-9]\d*$/.test(option)) ? { ndots: true } : {}),
  };
}

interface Attached {
  readonly endpoint: Endpoint;
  readonly network: Network;
}

/** As gateways are chosen (gateway.ts), networks without a way out last. */
function wayOutFirst(a: Attached, b: Attached): number {
  if (a.network.internal !== b.network.internal) return a.network.internal ? 1 : -1;
  return b.endpoint.gatewayPriority - a.endpoint.gatewayPriority || (a.network.name < b.network.name ? -1 : 1);
}

function linksOf(endpoints: readonly Endpoint[]): Record<string, string> {
  const links = endpoints.flatMap((endpoint) => (endpoint.links ?? []).map(parseLink));
  return Object.fromEntries(links.map(({ name, alias }) => [alias.toLowerCase(), name]));
}

/** Servers of the host's are asked where the host asks them, so that one on its loopback works; others from inside, as in Docker. */
function upstreams({ servers }: SandboxDns, resolvConf: string): Upstream[] {
  const own = servers.length > 0;
  const list = own ? servers : parseResolvConf(resolvConf).servers;
  // From inside, our own address is ourselves.
  const others = [...new Set(list)].filter((server) => !own || server !== RESOLVER_ADDRESS);
  return others.map((server) => ({ address: parseIp(server), port: 53, from: own ? 'sandbox' : 'host' }));
}

/** Of those endpoints that others can find by name. */
export function recordsOf(networks: Networks, sandbox: Sandbox): NameRecord[] {
  return askedFor(sandbox).flatMap((endpoint) => {
    const addresses = [endpoint.ipv4, endpoint.ipv6].flatMap((address) => (address === null ? [] : [addressOf(address)]));
    if (!hasNames(networks.get(endpoint.networkId)) || addresses.length === 0) return [];
    return [{ endpoint: endpoint.id, network: endpoint.networkId, names: dnsNames(sandbox, endpoint), addresses }];
  });
}

export const namesContext = (ctx: Context, facts: HostFacts): NamesContext => ({
  networks: ctx.registry.networks,
  daemonDns: ctx.config.dns,
  resolvConf: facts.resolvConf,
});

/** What the namespace needs: see `Resolver.planClient`. */
export const nameChanges = (ctx: Context, sandbox: Sandbox): readonly Change[] =>
  sandbox.netns.type !== 'host' && isNamed(ctx.registry.networks, sandbox) ? ctx.resolver.planClient(sandbox.netns.path) : [];

/** One sandbox as the resolver knows it (null: not at all), and as it is to be from now on. */
interface Told {
  readonly before: Sandbox | null;
  readonly after: Sandbox;
}

/**
 * Makes the resolver know a sandbox as it is to be from now on.
 * @returns when its names can be found and its queries are answered @throws what keeps a socket from being opened
 */
export async function tellNames(ctx: Context, told: Told, facts: HostFacts): Promise<void> {
  tellRecords(ctx, told);
  await answerIn(ctx, told, facts);
}

/** Its names alone, which others can find, on other hosts as well. */
export function tellRecords(ctx: Context, { before, after }: Told): void {
  const { registry, resolver } = ctx;
  const records = recordsOf(registry.networks, after);
  const kept = new Set<Id>(records.map(({ endpoint }) => endpoint));
  const gone = (before?.endpoints ?? []).flatMap(({ id }) => (kept.has(id) ? [] : [id]));
  if (gone.length > 0) resolver.remove(gone);
  if (records.length > 0) resolver.put(records);
  tellCluster(ctx, { before, after });
}

/** Answers to its queries alone: the namespace must be there. @throws what keeps a socket from being opened */
export async function answerIn(ctx: Context, { before, after }: Told, facts: HostFacts): Promise<void> {
  const client = clientOf(namesContext(ctx, facts), after);
  if (client !== null) await ctx.resolver.serve([client]);
  else if (before !== null && isNamed(ctx.registry.networks, before)) await ctx.resolver.stop([after.id]);
}

/** The same after something that cannot be taken back. Never throws. */
export async function retellNames(ctx: Context, change: Told, facts: HostFacts): Promise<void> {
  try {
    await tellNames(ctx, change, facts);
  } catch (error) {
    ctx.logger.error({ err: error, sandbox: change.after.id }, `names are not answered in sandbox ${change.after.name}`);
  }
}

/** Sandboxes that are gone. Never throws: they are. */
export async function forgetNames(ctx: Context, sandboxes: readonly Sandbox[]): Promise<void> {
  for (const sandbox of sandboxes) untellCluster(ctx, sandbox);
  const named = sandboxes.filter((sandbox) => isNamed(ctx.registry.networks, sandbox));
  if (named.length === 0) return;
  ctx.resolver.remove(named.flatMap(({ endpoints }) => endpoints.map(({ id }) => id)));
  try {
    await ctx.resolver.stop(named.map(({ id }) => id));
  } catch (error) {
    ctx.logger.error({ err: error }, 'could not stop answering names for sandboxes that are gone');
  }
}

/** Everything that is stored, at the start. What cannot be served is reported; the others are. */
export async function tellAllNames(ctx: Context, facts: HostFacts): Promise<void> {
  const sandboxes = [...ctx.registry.sandboxes.values()];
  const records = sandboxes.flatMap((sandbox) => recordsOf(ctx.registry.networks, sandbox));
  if (records.length > 0) ctx.resolver.put(records);
  await serveAgain(ctx, sandboxes, facts);
}

/** Sandboxes whose namespace was made anew, or whose upstreams changed. Never throws. */
export async function serveAgain(ctx: Context, sandboxes: readonly Sandbox[], facts: HostFacts): Promise<void> {
  const context = namesContext(ctx, facts);
  const clients = sandboxes.flatMap((sandbox) => clientOf(context, sandbox) ?? []);
  if (clients.length === 0) return;
  try {
    await ctx.resolver.serve(clients);
  } catch (error) {
    ctx.logger.error({ err: error }, 'names are not answered in every sandbox');
  }
}
