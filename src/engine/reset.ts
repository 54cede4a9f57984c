/** Removes everything of this instance, and puts the host's settings back. */
import { type Change, HOST, type Plan } from '../contracts/change.ts';
import type { OperationOptions, Outcome } from '../contracts/engine.ts';
import { inversePlan, subsume } from '../contracts/inverse.ts';
import type { Context } from './context.ts';
import type { Write } from '../contracts/store.ts';
import { desiredOf, everything, type Scope } from './desired.ts';
import { forgetNames } from './names.ts';
import { leftWarnings } from './networks.ts';
import { deletePeers, dropMany } from './peers.ts';
import { isHostNft, networkRemoval } from './plans.ts';
import { hostPortsOf, releasePorts } from './port-reserve.ts';
import { deleteEndpoint, deleteKey, deleteNetwork, deleteSandbox, deleteTurns, META_KEYS } from './records.ts';
import { orphans } from './sweep.ts';

/** Owners whose removal is one plan: a journal row has a limit, and a plan of one endpoint is about 1 KB. */
const CHUNK = 64;

interface Part {
  readonly changes: readonly Change[];
  readonly writes: readonly Write[];
}

/** The world lock is held exclusively; nothing is made afterwards. Unreadable rows go as well. */
export async function resetAll(ctx: Context, { dryRun }: OperationOptions): Promise<Outcome<null>> {
  if (dryRun !== true) await dropPeers(ctx);
  const parts = await partsOf(ctx);
  const plan: Plan = { title: 'reset', changes: parts.flatMap(({ changes }) => changes) };
  if (dryRun === true) return { value: null, plan, warnings: [] };
  const sandboxes = [...ctx.registry.sandboxes.values()];
  for (const { process } of sandboxes) if (process !== null && ctx.processes.alive(process)) await ctx.processes.stop(process, 0);
  const warnings: string[] = [];
  for (const { changes, writes } of parts) {
    try {
      warnings.push(...leftWarnings(await ctx.executor.unmake({ title: plan.title, changes }, { writes, restore: [] })));
    } catch (error) {
      // The rest goes all the same, and the sweep below tries once more.
      ctx.logger.error({ err: error }, 'could not remove a part');
      warnings.push(error instanceof Error ? error.message : String(error));
    }
  }
  ctx.watcher.forget([...ctx.registry.pins(), ...ctx.registry.segments()]);
  await forgetNames(ctx, sandboxes);
  for (const { id, ports = [] } of sandboxes) {
    ctx.registry.removeSandbox(id);
    await releasePorts(ctx, id, hostPortsOf(ports));
  }
  for (const network of [...ctx.registry.networks.values()]) {
    ctx.registry.removeNetwork(network.id);
    ctx.peers.delete(network.id);
    for (const ipam of ctx.ipam) for (const pool of network.pools) await ipam.releasePool(pool.subnet, network.name);
  }
  ctx.unreadable.length = 0;
  const [host] = await ctx.kernel.snapshot([HOST], ['links']);
  const lost = await orphans(ctx, { repaired: [], failed: [], desired: [], states: [], host: host ?? null, tables: [] });
  if (lost.length > 0) await ctx.kernel.apply(lost, { keepGoing: true });
  ctx.facts.invalidate();
  await ctx.executor.commit([]);
  return { value: null, plan, warnings };
}

/** Of networks that span many hosts. */
async function dropPeers(ctx: Context): Promise<void> {
  const facts = await ctx.facts.get();
  for (const network of ctx.registry.networks.values()) {
    if (!ctx.peers.has(network.id)) continue;
    try {
      await dropMany(ctx, network, { removal: networkRemoval(ctx, network, facts), facts });
    } catch (error) {
      ctx.logger.error({ err: error, network: network.name }, 'could not remove the peers of a network');
    }
  }
}

/** Sandboxes first, then networks, then what belongs to all: the table stays until forwarding is what it was before. */
async function partsOf(ctx: Context): Promise<Part[]> {
  // Anew: what we changed ourselves since they were gathered is not in them.
  const facts = await ctx.facts.refresh();
  const all = everything(ctx);
  const removal = (scope: Partial<Scope>): Change[] =>
    subsume(
      inversePlan(
        desiredOf(ctx, { host: false, networks: [], sandboxes: [], ...scope }, facts).flatMap(({ changes }) => changes),
      ),
    );
  const host = removal({ host: true });
  const { sysctls } = await ctx.facts.actual();
  const putBack = ctx.drivers.flatMap((driver) => driver.planReset?.(facts) ?? []);
  return [
    ...chunks(all.sandboxes).map((ids) => ({
      changes: removal({ sandboxes: ids }),
      writes: ids.flatMap((id) => [
        deleteSandbox(id),
        ...(ctx.registry.sandboxes.get(id)?.endpoints ?? []).map((endpoint) => deleteEndpoint(endpoint.id)),
      ]),
    })),
    ...chunks(all.networks).map((ids) => ({
      changes: removal({ networks: ids }),
      writes: ids.flatMap((id) => [deleteNetwork(id), deleteTurns(id), ...deletePeers(ctx, id)]),
    })),
    {
      changes: [
        ...host.filter((change) => !isHostNft(change)),
        ...putBack.filter((change) => change.kind !== 'sysctl' || sysctls[change.key] !== change.value),
        ...host.filter(isHostNft),
      ],
      writes: [...ctx.unreadable.map(({ key }) => deleteKey(key)), ...META_KEYS.map(deleteKey)],
    },
  ];
}

function chunks<T>(list: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(list.length / CHUNK) }, (_, i) => list.slice(i * CHUNK, (i + 1) * CHUNK));
}
