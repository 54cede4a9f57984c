/** The cluster and the networks of it that this host takes part in, as people are shown them. */
import type { ClusterView, PeerView, SpanningView } from '../contracts/engine.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Network } from '../model/network.ts';
import { type Context, driverOf, spans } from './context.ts';
import { peersOf } from './remotes.ts';

/** Undefined on a host that is in no cluster. */
export async function clusterView(ctx: Context): Promise<ClusterView | undefined> {
  if (ctx.cluster === undefined) return undefined;
  const facts = await ctx.facts.get();
  const networks = [...ctx.registry.networks.values()].filter((network) => spans(ctx, network));
  const paths = Object.fromEntries(ctx.paths?.reports() ?? []);
  const checksums = facts.underlay?.brokenChecksums === true ? 'made' : 'left';
  return {
    ...ctx.cluster.status(),
    paths,
    checksums,
    networks: await Promise.all(networks.map((network) => viewOf(ctx, network, facts))),
  };
}

async function viewOf(ctx: Context, network: Network, facts: HostFacts): Promise<SpanningView> {
  const { planNetwork, planPeer } = driverOf(ctx, network.driver);
  const carried = (await ctx.tunnels?.status(network.id)) ?? null;
  const { peers: counted, ...told } = carried?.tunnel ?? { peers: undefined, drops: {} };
  const mtus = planNetwork(network, facts).flatMap((change) =>
    change.kind === 'link' && change.op === 'add' && change.link.mtu !== undefined ? [change.link.mtu] : [],
  );
  return {
    id: network.id,
    name: network.name,
    backend: network.options['backend'] ?? '',
    subnets: network.pools.map(({ subnet }) => subnet),
    mtu: mtus.length === 0 ? null : Math.min(...mtus),
    peers: peersOf(ctx, network.id).map((peer): PeerView => {
      const counts = counted?.[peer.node];
      const trouble = planPeer?.(network, peer, facts).trouble ?? '';
      return { ...peer, trouble, ...(counts === undefined ? {} : { counts }) };
    }),
    ...(carried === null ? {} : { tunnel: { error: carried.error, ...told } }),
  };
}
