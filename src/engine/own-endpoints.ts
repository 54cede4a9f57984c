/** What the cluster is told of this host's endpoints on networks that span hosts. At the same moments as the name service, and as seldom in doubt. */
import { addressOf } from '../base/ip.ts';
import type { Id } from '../base/ids.ts';
import { dnsNames } from '../model/dns-names.ts';
import type { Network } from '../model/network.ts';
import type { LocalEndpoint } from '../model/node.ts';
import type { Sandbox } from '../model/sandbox.ts';
import { askedFor } from '../model/way-out.ts';
import { type Context, spans } from './context.ts';

interface Own {
  readonly network: Id;
  readonly endpoint: LocalEndpoint;
}

function ownOf(ctx: Context, sandbox: Sandbox): readonly Own[] {
  return askedFor(sandbox).flatMap((endpoint): Own[] => {
    const network: Network | undefined = ctx.registry.networks.get(endpoint.networkId);
    if (network === undefined || !spans(ctx, network)) return [];
    return [
      {
        network: network.id,
        endpoint: {
          id: endpoint.id,
          sandbox: sandbox.name,
          sandboxId: sandbox.id,
          mac: endpoint.mac,
          addresses: [endpoint.ipv4, endpoint.ipv6].flatMap((address) => (address === null ? [] : [addressOf(address)])),
          names: dnsNames(sandbox, endpoint),
        },
      },
    ];
  });
}

/** The sandbox as the others know it (null: not at all), and as it is from now on. Never waits. */
export function tellCluster(ctx: Context, { before, after }: { readonly before: Sandbox | null; readonly after: Sandbox }): void {
  if (ctx.cluster === undefined) return;
  const own = ownOf(ctx, after);
  const kept = new Set(own.map(({ endpoint }) => endpoint.id));
  for (const { id, networkId } of before?.endpoints ?? []) if (!kept.has(id)) ctx.cluster.untell(networkId, id);
  for (const { network, endpoint } of own) ctx.cluster.tell(network, endpoint);
}

/** It is gone. Never waits. */
export function untellCluster(ctx: Context, sandbox: Sandbox): void {
  for (const { id, networkId } of sandbox.endpoints) ctx.cluster?.untell(networkId, id);
}
