/** The networks that are always there: `bridge` (the default), `host`, `none`. */
import { newId } from '../base/ids.ts';
import { addressOf, parseIfAddress, prefixOf } from '../base/ip.ts';
import type { Network, NetworkSpec, PoolRequest } from '../model/network.ts';
import { type Context, type DefaultBridge, driverOf } from './context.ts';
import { resolveNetworkSpec } from './network-spec.ts';
import { makeNetwork, unmakeNetwork } from './networks.ts';
import { networkKey, type PredefinedRow, putPredefined } from './records.ts';

/** Makes those that are missing. The default bridge follows a changed configuration, under its old id, unless it is in use. */
export async function ensurePredefined(ctx: Context, ids: PredefinedRow): Promise<void> {
  await ensure(ctx, bridgeSpec(ctx.config.defaultBridge), ids);
  await ensure(ctx, { name: 'host', driver: 'host' }, ids);
  await ensure(ctx, { name: 'none', driver: 'null' }, ids);
  const now: PredefinedRow = Object.fromEntries(
    ['bridge', 'host', 'none'].flatMap((name) => {
      const network = ctx.registry.networkNamed(name);
      return network === undefined ? [] : [[name, network.id]];
    }),
  );
  if (JSON.stringify(now) !== JSON.stringify(ids)) await ctx.executor.commit([putPredefined(now)]);
}

async function ensure(ctx: Context, spec: NetworkSpec & { readonly driver: string }, ids: PredefinedRow): Promise<void> {
  if (!ctx.drivers.some(({ type }) => type === spec.driver)) return;
  const present = ctx.registry.networkNamed(spec.name);
  const checked = resolveNetworkSpec(ctx, spec, driverOf(ctx, spec.driver));
  if (present !== undefined) {
    if (spec.name !== 'bridge' || follows(present, spec, checked.options)) return;
    if (ctx.registry.ports(present.id) > 0) {
      ctx.logger.warn({ network: present.id }, 'network bridge keeps its old configuration: it has endpoints');
      return;
    }
    ctx.logger.info({ network: present.id }, 'network bridge is made anew: its configuration changed');
    await unmakeNetwork(ctx, present, {});
  }
  const id = present?.id ?? ids[spec.name] ?? newId();
  await makeNetwork(ctx, { spec, checked, identity: { id, predefined: true } }, {});
  // Its row, if it was damaged, has been replaced.
  const damaged = ctx.unreadable.findIndex(({ key }) => key === networkKey(id));
  if (damaged >= 0) ctx.unreadable.splice(damaged, 1);
}

/** Docker's options of its default bridge, with what the configuration says. */
function bridgeSpec(config: DefaultBridge): NetworkSpec & { readonly driver: string } {
  const pools = [poolOf(config.bip, config.fixedCidr), ...(config.ipv6 ? [poolOf(config.bipV6, config.fixedCidrV6)] : [])];
  return {
    name: 'bridge',
    driver: 'bridge',
    ipv6: config.ipv6,
    options: {
      'com.docker.network.bridge.default_bridge': 'true',
      'com.docker.network.bridge.enable_icc': 'true',
      'com.docker.network.bridge.enable_ip_masquerade': 'true',
      'com.docker.network.bridge.host_binding_ipv4': '0.0.0.0',
      ...config.options,
      'com.docker.network.bridge.name': config.name,
    },
    pools: pools.filter((pool) => pool !== null),
  };
}

/** @param bip the bridge's address with its prefix length. @param fixed part of the subnet for dynamic addresses; alone, the subnet. */
function poolOf(bip: string | undefined, fixed: string | undefined): PoolRequest | null {
  if (bip === undefined) return fixed === undefined ? null : { subnet: fixed, range: fixed };
  const address = parseIfAddress(bip);
  return { subnet: prefixOf(address), gateway: addressOf(address), ...(fixed === undefined ? {} : { range: fixed }) };
}

/** Whether a stored network is what the configuration asks for. */
function follows(network: Network, spec: NetworkSpec, options: Readonly<Record<string, string>>): boolean {
  const keys = new Set([...Object.keys(options), ...Object.keys(network.options)]);
  if ([...keys].some((key) => options[key] !== network.options[key]) || network.ipv6 !== spec.ipv6) return false;
  const asked = spec.pools ?? [];
  const fixed = network.pools.filter(({ configured }) => configured);
  return (
    asked.length === fixed.length &&
    asked.every((wish) =>
      fixed.some(
        (pool) =>
          pool.subnet === wish.subnet && (wish.gateway ?? pool.gateway) === pool.gateway && (wish.range ?? null) === pool.range,
      ),
    )
  );
}
