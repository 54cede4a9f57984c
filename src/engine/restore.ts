/** From the store and the kernel, as the last daemon left them, to a running engine. */
import type { Id } from '../base/ids.ts';
import { HOST } from '../contracts/change.ts';
import { tableName } from '../model/instance.ts';
import { parseOwnerAlias } from '../model/names.ts';
import type { Network } from '../model/network.ts';
import { type Context, driverOf } from './context.ts';
import { settleWaysOut } from './gateway-network.ts';
import { followSince } from './host-dns.ts';
import { tellAllNames } from './names.ts';
import { replayPools } from './network-pools.ts';
import { sandboxRemoval, wholeNetwork } from './plans.ts';
import { publishes } from './ports.ts';
import { ensurePredefined } from './predefined.ts';
import { type HostRow, type Loaded, loadRows, putHost } from './records.ts';
import type { Reconciler } from './reconcile.ts';
import { dropSandbox } from './sandboxes.ts';
import { noteSegments } from './segments.ts';

/** Reads the store and fills memory and the allocators. Journal rows are carried out first, so that the kernel has no half plan. */
export async function load(ctx: Context): Promise<Loaded> {
  const loaded = await loadRows(ctx.store);
  for (const row of loaded.unreadable) {
    ctx.unreadable.push(row);
    ctx.logger.error({ key: row.key, error: row.error }, `cannot read ${row.key}: it is left alone: ${row.error.message}`);
  }
  for (const { key, row } of loaded.journal) await ctx.executor.recover(key, row);
  await recordOriginals(ctx, loaded.host);
  await fill(ctx, loaded);
  return loaded;
}

/**
 * Sysctls as they were before this instance changed them. What was recorded before a reboot says nothing about this boot; that we
 * were here since boot, our table or a link of ours shows.
 */
async function recordOriginals(ctx: Context, recorded: HostRow | null): Promise<void> {
  const [facts, [host], table] = await Promise.all([
    ctx.facts.actual(),
    ctx.kernel.snapshot([HOST], ['links']),
    ctx.kernel.listTable({ family: 'inet', name: tableName(ctx.config.instance) }),
  ]);
  const ours = host?.links.some(({ alias }) => parseOwnerAlias(alias)?.instance === ctx.config.instance.id) ?? false;
  // A table of before guards bridges of before; one that was flushed while nobody watched may have.
  if (table === null ? ours : GUARD in table.chains) ctx.facts.setLocalhostPorts(true);
  const kept = table !== null || ours ? (recorded?.sysctls ?? {}) : {};
  const sysctls = { ...facts.sysctls, ...kept };
  ctx.facts.setOriginals(sysctls);
  if (JSON.stringify(sysctls) !== JSON.stringify(recorded?.sysctls))
    await ctx.executor.commit([putHost({ ...recorded, sysctls })]);
}

/** The chain of the table that is there for ports (`HostFacts.localhostPorts`). */
const GUARD = 'localhost';

async function fill(ctx: Context, { networks, turns, sandboxes }: Loaded): Promise<void> {
  const facts = await ctx.facts.get();
  for (const network of networks) {
    ctx.registry.addNetwork(network, tolerant(ctx, network, () => wholeNetwork(ctx, network, facts)) ?? []);
  }
  for (const network of networks) {
    tolerant(ctx, network, () => driverOf(ctx, network.driver).check(network, ctx.registry.ofDriver(network.driver, network.id)));
  }
  for (const sandbox of sandboxes) ctx.registry.setSandbox(sandbox);
  if (sandboxes.some(publishes)) ctx.facts.setLocalhostPorts(true);
  for (const network of networks) {
    try {
      await replayPools(ctx, network, turns.get(network.id));
    } catch (error) {
      ctx.logger.error({ err: error, network: network.id }, `addresses of network ${network.name} could not be reserved again`);
    }
  }
}

/** A network that today's drivers refuse stays in the list, where it can be seen and removed. */
function tolerant<T>(ctx: Context, network: Network, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    ctx.logger.error({ err: error, network: network.id }, `network ${network.name} does not work any more`);
    return undefined;
  }
}

/** Brings the kernel in line: ended sandboxes go, everything else is compared and repaired, missing predefined networks come. */
export async function settle(ctx: Context, { predefined, host }: Loaded, reconciler: Reconciler): Promise<void> {
  await removeEnded(ctx);
  // What the drivers need once per daemon comes with this, so it comes before any new network.
  await reconciler.full(host === null ? 'this is the first start' : undefined);
  await ensurePredefined(ctx, predefined);
  noteSegments(ctx);
  ctx.watcher.observe([...ctx.registry.pins(), ...ctx.registry.segments()]);
  await settleWaysOut(ctx);
  const facts = await ctx.facts.get();
  await followSince(ctx, host?.dns ?? null, facts);
  await tellAllNames(ctx, facts);
}

/** Sandboxes whose process, or who was making it, ended while nobody watched. */
async function removeEnded(ctx: Context): Promise<void> {
  const ended: Id[] = [];
  for (const { id, process, creator, autoRemove } of ctx.registry.sandboxes.values()) {
    const main = process ?? creator;
    if (autoRemove && main !== undefined && !ctx.processes.alive(main)) ended.push(id);
  }
  for (const id of ended) {
    const sandbox = ctx.registry.sandboxes.get(id);
    if (sandbox === undefined) continue;
    ctx.logger.info({ sandbox: id }, `removing sandbox ${sandbox.name}: its process has ended`);
    const changes = sandboxRemoval(ctx, sandbox, await ctx.facts.get());
    await dropSandbox(ctx, sandbox, { title: `remove sandbox ${sandbox.name}`, changes });
  }
}
