/** Bridges that were there before a network that is to use them, and belong to somebody else. */
import { HOST } from '../contracts/change.ts';
import type { NetworkDriver } from '../contracts/driver.ts';
import { parseOwnerAlias } from '../model/names.ts';
import type { Network } from '../model/network.ts';
import type { Context } from './context.ts';

/**
 * Whether the host has the bridge that a new network names, as Docker would use it. One with an alias of ours is some network's own, and any other kind of device is
 * in the way: neither is used.
 */
export async function findForeignBridge(
  ctx: Context,
  driver: NetworkDriver,
  network: Pick<Network, 'options'>,
): Promise<Pick<Network, 'foreignBridge'>> {
  const name = driver.namedBridge?.(network) ?? null;
  if (name === null) return {};
  const [host] = await ctx.kernel.snapshot([HOST], ['links', 'addresses']);
  const link = host?.links.find((one) => one.name === name);
  if (host === null || host === undefined || link?.type !== 'bridge' || parseOwnerAlias(link.alias) !== null) return {};
  const addresses = host.addresses.filter(({ device }) => device === name).map(({ address }) => address);
  return { foreignBridge: { addresses } };
}
