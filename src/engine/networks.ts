/** Create, remove and prune networks. */
import { forbidden, notFound } from '../base/errors.ts';
import { type Id, newId, shortId } from '../base/ids.ts';
import type { Change, Plan } from '../contracts/change.ts';
import type { OperationOptions, Outcome, PruneFilter, PruneResult } from '../contracts/engine.ts';
import { gatewayMode } from '../model/gateway-mode.ts';
import type { Network, NetworkSpec } from '../model/network.ts';
import { GATEWAY_NETWORK } from '../model/way-out.ts';
import { type Context, driverOf, Undo } from './context.ts';
import { networkAttributes } from './events.ts';
import type { Failure } from './executor.ts';
import { findForeignBridge } from './foreign-bridge.ts';
import { type CheckedNetwork, checkNetworkSpec } from './network-spec.ts';
import { droppedWarnings, type PoolOwner, releasePools, reservePools, routeWarnings } from './network-pools.ts';
import { isOnDemand, networkRemoval } from './plans.ts';
import { deleteNetwork, deleteTurns, putNetwork } from './records.ts';
import { deviceTaken } from './taken.ts';

/** What is stored beside what the specification says. */
interface Identity {
  readonly id: Id;
  readonly predefined: boolean;
}

export async function createNetwork(ctx: Context, spec: NetworkSpec, options: OperationOptions = {}): Promise<Outcome<Network>> {
  const checked = checkNetworkSpec(ctx, spec);
  return makeNetwork(ctx, { spec, checked, identity: { id: newId(), predefined: false } }, options);
}

interface MakeInput {
  readonly spec: NetworkSpec;
  readonly checked: CheckedNetwork;
  readonly identity: Identity;
}

/** Reserve, check, plan, carry out. Also for predefined networks. */
export async function makeNetwork(
  ctx: Context,
  { spec, checked, identity }: MakeInput,
  { dryRun }: OperationOptions,
): Promise<Outcome<Network>> {
  const { driver } = checked;
  using _name = ctx.registry.reserveNetwork(spec.name, identity.id);
  using _guard = ctx.registry.guard(identity.id);
  const undo = new Undo();
  try {
    const facts = await ctx.facts.get();
    const owner: PoolOwner = {
      network: spec.name,
      ipamDriver: checked.ipamDriver,
      // Of an isolated network the host has no address, as in Docker.
      gateway: (family) => driver.capabilities.gateway && gatewayMode(checked, family) !== 'isolated',
    };
    const bridge = identity.predefined ? {} : await findForeignBridge(ctx, driver, checked);
    const pools = await reservePools(ctx, { owner, requests: checked.pools }, undo);
    const network: Network = {
      id: identity.id,
      name: spec.name,
      created: new Date(ctx.clock.now()).toISOString(),
      driver: driver.type,
      scope: driver.capabilities.scope,
      ipv4: checked.ipv4,
      ipv6: checked.ipv6,
      internal: spec.internal ?? false,
      attachable: spec.attachable ?? false,
      options: checked.options,
      labels: spec.labels ?? {},
      ipamDriver: checked.ipamDriver,
      ipamOptions: spec.ipamOptions ?? {},
      pools,
      predefined: identity.predefined,
      ...bridge,
    };
    // One synchronous stretch: whoever comes next is checked against this network.
    driver.check(network, ctx.registry.ofDriver(driver.type, network.id));
    using _making = ctx.registry.making(network);
    const plan: Plan = {
      title: `create network ${network.name} (${network.driver})`,
      changes: driver.planNetwork(network, facts),
    };
    const warnings = [...droppedWarnings(network, spec), ...routeWarnings(network, ctx.facts.foreignRoutes())];
    if (dryRun === true) {
      await undo.run(ctx.logger);
      return { value: network, plan, warnings };
    }
    try {
      await ctx.executor.make(plan, [putNetwork(network)]);
    } catch (error) {
      throw deviceTaken(error, network, plan.changes);
    }
    ctx.registry.addNetwork(network, plan.changes);
    emit(ctx, network, 'create');
    return { value: network, plan, warnings };
  } catch (error) {
    await undo.run(ctx.logger);
    throw error;
  }
}

/** A network that the cluster has decided: its subnets are reserved here, it is planned, carried out and stored. Without its peers. */
export async function adoptNetwork(ctx: Context, known: Network): Promise<Outcome<Network>> {
  using _name = ctx.registry.reserveNetwork(known.name, known.id);
  using _guard = ctx.registry.guard(known.id);
  const undo = new Undo();
  try {
    const facts = await ctx.facts.get();
    const driver = driverOf(ctx, known.driver);
    driver.check(known, ctx.registry.ofDriver(driver.type, known.id));
    using _making = ctx.registry.making(known);
    const owner: PoolOwner = { network: known.name, id: known.id, ipamDriver: known.ipamDriver, gateway: () => false };
    const requests = known.pools.map(({ family, subnet, gateway, auxiliary }) => ({
      family,
      subnet,
      auxiliary,
      ...(gateway === null ? {} : { gateway }),
    }));
    const network: Network = { ...known, pools: await reservePools(ctx, { owner, requests }, undo) };
    const whole = driver.planNetwork(network, facts);
    const plan: Plan = {
      title: `create network ${network.name} (${network.driver})`,
      changes: isOnDemand(ctx, network) ? [] : whole,
    };
    try {
      await ctx.executor.make(plan, [putNetwork(network)]);
    } catch (error) {
      throw deviceTaken(error, network, plan.changes);
    }
    ctx.registry.addNetwork(network, whole);
    emit(ctx, network, 'create');
    const warnings = routeWarnings(network, ctx.facts.foreignRoutes());
    forgetRange(ctx, network);
    return { value: network, plan, warnings };
  } catch (error) {
    await undo.run(ctx.logger);
    throw error;
  }
}

/** The route of a range is none of a subnet of ours, so it keeps other networks out as long as it is there: no longer, and no shorter. */
function forgetRange(ctx: Context, { ranges = [] }: Network): void {
  if (ranges.length > 0) ctx.facts.invalidate();
}

export async function removeNetwork(ctx: Context, reference: string, options: OperationOptions = {}): Promise<Outcome<Network>> {
  const network = ctx.registry.network(reference);
  if (network.predefined) throw forbidden(`${network.name} is a pre-defined network and cannot be removed`);
  return unmakeNetwork(ctx, network, options);
}

/** @throws forbidden with Docker's text when something is attached; not-found when it is being removed already. */
export async function unmakeNetwork(ctx: Context, network: Network, { dryRun }: OperationOptions): Promise<Outcome<Network>> {
  if (ctx.registry.isLeaving(network.id)) throw notFound(`network ${network.name} not found`);
  checkUnused(ctx, network);
  // From here on nothing can attach to it; no lock is needed for that.
  using _leaving = ctx.registry.leaving(network.id);
  const facts = await ctx.facts.get();
  const plan: Plan = {
    title: `remove network ${network.name} (${network.driver})`,
    changes: networkRemoval(ctx, network, facts),
  };
  if (dryRun === true) return { value: network, plan, warnings: [] };
  using _guard = ctx.registry.guard(network.id);
  const left = await ctx.executor.unmake(plan, {
    writes: [deleteNetwork(network.id), deleteTurns(network.id)],
    restore: [putNetwork(network)],
  });
  ctx.registry.removeNetwork(network.id);
  await releasePools(ctx, network);
  emit(ctx, network, 'destroy');
  forgetRange(ctx, network);
  return { value: network, plan, warnings: leftWarnings(left) };
}

/** @throws forbidden with Docker's text */
export function checkUnused(ctx: Context, network: Network): void {
  if (ctx.registry.ports(network.id) === 0) return;
  const names = ctx.registry
    .attachments(network.id)
    .map(({ endpoint, sandbox }) => `name:"${sandbox.name}" id:"${shortId(endpoint.id)}"`)
    .join(', ');
  throw forbidden(`error while removing network: network ${network.name} has active endpoints (${names})`);
}

/** What could not be undone is no reason to keep an object; it is one to tell. */
export const leftWarnings = (left: readonly Failure[]): string[] =>
  left.map(({ error }) => `something was left behind, to be removed later: ${error.message}`);

export async function pruneNetworks(
  ctx: Context,
  filter: PruneFilter,
  options: OperationOptions = {},
): Promise<Outcome<PruneResult>> {
  const unused = [...ctx.registry.networks.values()].filter((network) => prunable(ctx, network, filter));
  // At once, so that the kernel gets few batches.
  const results = await Promise.allSettled(unused.map((network) => unmakeNetwork(ctx, network, options)));
  const names: string[] = [];
  const warnings: string[] = [];
  const changes: Change[] = [];
  for (const [i, result] of results.entries()) {
    const name = unused[i]?.name ?? '';
    if (result.status === 'fulfilled') {
      names.push(name);
      changes.push(...result.value.plan.changes);
      warnings.push(...result.value.warnings);
    } else {
      // One that got an endpoint meanwhile is none to prune; any other failure must not keep the rest.
      warnings.push(
        `could not remove network ${name}: ${result.reason instanceof Error ? result.reason.message : String(result.reason)}`,
      );
    }
  }
  // As Docker, whether anything was removed or not; networks take no room on disk.
  if (options.dryRun !== true) {
    const attributes = { reclaimed: '0' };
    ctx.events.emit({ type: 'network', action: 'prune', actorId: '', attributes, time: ctx.clock.now() });
  }
  return { value: { networks: names }, plan: { title: 'remove unused networks', changes }, warnings };
}

function prunable(ctx: Context, network: Network, { until, accepts }: PruneFilter): boolean {
  // What spans hosts may be in use on one that is away at the moment: it goes by name only.
  if (network.scope === 'global') return false;
  if (
    network.predefined ||
    network.name === GATEWAY_NETWORK ||
    ctx.registry.ports(network.id) > 0 ||
    ctx.registry.isLeaving(network.id)
  )
    return false;
  return (until === undefined || Date.parse(network.created) < until) && (accepts?.(network) ?? true);
}

function emit(ctx: Context, network: Network, action: 'create' | 'destroy'): void {
  ctx.events.emit({
    type: 'network',
    action,
    actorId: network.id,
    attributes: networkAttributes(network),
    time: ctx.clock.now(),
  });
}
