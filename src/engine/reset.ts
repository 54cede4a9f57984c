/** Removes everything of this instance, and puts the host's settings back. */
import { type Change, HOST, type Plan } from '../contracts/change.ts';
import type { OperationOptions, Outcome } from '../contracts/engine.ts';
import { inversePlan, subsume } from '../contracts/inverse.ts';
import type { Context } from './context.ts';
import { desiredOf, everything, isNft } from './desired.ts';
import { leftWarnings } from './networks.ts';
import { deleteEndpoint, deleteKey, deleteNetwork, deleteSandbox, META_KEYS } from './records.ts';
import { orphans } from './sweep.ts';

/** The world lock is held exclusively; nothing is made afterwards. Unreadable rows go as well. */
export async function resetAll(ctx: Context, { dryRun }: OperationOptions): Promise<Outcome<null>> {
  const facts = await ctx.facts.get();
  const desired = desiredOf(ctx, everything(ctx), facts);
  const changes = subsume(inversePlan(desired.flatMap((one) => one.changes)));
  const plan: Plan = { title: 'reset', changes: tableLast(changes) };
  if (dryRun === true) return { value: null, plan, warnings: [] };
  const sandboxes = [...ctx.registry.sandboxes.values()];
  for (const { process } of sandboxes) if (process !== null && ctx.processes.alive(process)) await ctx.processes.stop(process, 0);
  const writes = [
    ...[...ctx.registry.networks.keys()].map(deleteNetwork),
    ...sandboxes.flatMap(({ id, endpoints }) => [deleteSandbox(id), ...endpoints.map((endpoint) => deleteEndpoint(endpoint.id))]),
    ...ctx.unreadable.map(({ key }) => deleteKey(key)),
    ...META_KEYS.map(deleteKey),
  ];
  const left = await ctx.executor.unmake(plan, { writes, restore: [] });
  ctx.watcher.forget(ctx.registry.pins());
  for (const { id } of sandboxes) ctx.registry.removeSandbox(id);
  for (const network of [...ctx.registry.networks.values()]) {
    ctx.registry.removeNetwork(network.id);
    for (const ipam of ctx.ipam) for (const pool of network.pools) await ipam.releasePool(pool.subnet, network.name);
  }
  ctx.unreadable.length = 0;
  const [host] = await ctx.kernel.snapshot([HOST], ['links']);
  const lost = await orphans(ctx, { repaired: [], failed: [], desired: [], host: host ?? null, tables: [] });
  if (lost.length > 0) await ctx.kernel.apply(lost, { keepGoing: true });
  ctx.facts.invalidate();
  await ctx.executor.commit([]);
  return { value: null, plan, warnings: leftWarnings(left) };
}

/** The rules stay until forwarding is what it was: no moment of forwarding without them. */
function tableLast(changes: readonly Change[]): Change[] {
  return [...changes.filter((change) => !isNft(change)), ...changes.filter(isNft)];
}
