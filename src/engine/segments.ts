/**
 * Networks that have a part on a host only as long as they have endpoints there. The part is made before the first endpoint and goes with the last
 * one. Nothing is stored of it: what is stored of endpoints says whether it is wanted, so after a crash it is compared, or swept, with the rest.
 */
import { errorFrom } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { Change, Netns } from '../contracts/change.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Network } from '../model/network.ts';
import type { Context } from './context.ts';
import { failures } from './executor.ts';
import { isOnDemand, networkChanges, wholeNetworkRemoval } from './plans.ts';

/** Counts as an endpoint from here on; in the end the network's part goes again, if nothing came of it and nobody else is there. */
export function joinNetwork(ctx: Context, network: Network): AsyncDisposable {
  const port = ctx.registry.joining(network.id);
  return {
    async [Symbol.asyncDispose]() {
      port[Symbol.dispose]();
      await closeSegment(ctx, network);
    },
  };
}

/** The part that a network needs for its first endpoint; who calls counts as one (`joinNetwork`). @throws what cannot be made, undone */
export async function openSegment(ctx: Context, network: Network, facts: HostFacts): Promise<void> {
  if (!isOnDemand(ctx, network) || ctx.segments.has(network.id)) return;
  using _lock = await ctx.locks.hold(network.id);
  if (ctx.segments.has(network.id)) return;
  const changes = networkChanges(ctx, network, facts);
  const applied = await ctx.kernel.apply(changes);
  const failure = failures(changes, applied)[0];
  if (failure !== undefined) {
    await ctx.executor.undo(changes, applied);
    throw errorFrom(failure.error);
  }
  ctx.segments.add(network.id);
  ctx.watcher.observe(pinsOf(changes));
}

/** Never throws: what stays behind is swept later. */
export async function closeSegment(ctx: Context, network: Network): Promise<void> {
  if (!ctx.segments.has(network.id) || ctx.registry.ports(network.id) > 0) return;
  using _lock = await ctx.locks.hold(network.id);
  if (!ctx.segments.has(network.id) || ctx.registry.ports(network.id) > 0) return;
  ctx.segments.delete(network.id);
  try {
    const changes = wholeNetworkRemoval(ctx, network, await ctx.facts.get());
    ctx.watcher.forget(pinsOf(changes));
    const left = failures(changes, await ctx.kernel.apply(changes, { keepGoing: true }));
    for (const { change, error } of left)
      ctx.logger.error({ network: network.name, change, error: error.message }, 'could not take down a network on this host');
  } catch (error) {
    ctx.logger.error({ err: error, network: network.name }, 'could not take down a network on this host');
  }
}

/** At the start, when what is wanted has been compared with the kernel: those in use are there. */
export function noteSegments(ctx: Context): void {
  for (const network of ctx.registry.networks.values())
    if (isOnDemand(ctx, network) && ctx.registry.ports(network.id) > 0) ctx.segments.add(network.id);
}

/** Namespaces that are wanted: those of networks with endpoints here. */
export const isWanted = (ctx: Context, network: Id): boolean => ctx.registry.ports(network) > 0;

const pinsOf = (changes: readonly Change[]): readonly Netns[] =>
  changes.flatMap((change) => (change.kind === 'netns' ? [change.path] : []));
