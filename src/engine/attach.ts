/** One endpoint of a sandbox comes or goes; whoever calls holds the sandbox's lock. */
import { conflict, invalid, MoorError, notFound } from '../base/errors.ts';
import { HOST, type Plan } from '../contracts/change.ts';
import type { OperationOptions, Outcome } from '../contracts/engine.ts';
import type { Network } from '../model/network.ts';
import type { Endpoint, EndpointSpec, Sandbox } from '../model/sandbox.ts';
import { type Context, Undo } from './context.ts';
import { buildEndpoint, checkCombination, checkEndpointSpec, checkRoom, releaseEndpoint } from './endpoints.ts';
import { networkAttributes } from './events.ts';
import { answerIn, retellNames, tellRecords } from './names.ts';
import { keepTurns } from './network-pools.ts';
import { leftWarnings } from './networks.ts';
import { connectChanges, disconnectChanges, netnsOf } from './plans.ts';
import { movePorts } from './ports.ts';
import { deleteEndpoint, putEndpoint, putSandbox } from './records.ts';
import { meetOthers } from './remotes.ts';
import { closeSegment, joinNetwork, openSegment } from './segments.ts';
import { checkNobodys } from './taken.ts';

/** The sandbox's lock is held. @param input.automatic nobody asked for it */
export async function attach(
  ctx: Context,
  {
    network,
    sandbox,
    spec,
    automatic = false,
  }: { readonly network: Network; readonly sandbox: Sandbox; readonly spec: EndpointSpec; readonly automatic?: boolean },
  { dryRun }: OperationOptions,
): Promise<Outcome<Endpoint>> {
  checkCombination(ctx, sandbox, network);
  checkEndpointSpec(network, spec);
  const taken = await foreignInterfaces(ctx, sandbox);
  checkRoom(ctx, { sandbox, network, taken }, spec);
  await using _port = joinNetwork(ctx, network);
  const undo = new Undo();
  try {
    const facts = await ctx.facts.get();
    const endpoint = await buildEndpoint(ctx, { sandbox, network, spec, taken, automatic }, undo);
    using _guard = ctx.registry.guard(endpoint.id);
    const joined: Sandbox = { ...sandbox, endpoints: [...sandbox.endpoints, endpoint] };
    const { sandbox: after, warnings } = await movePorts(ctx, joined, undo);
    const plan: Plan = {
      title: `connect ${sandbox.name} to network ${network.name}`,
      changes: connectChanges(ctx, { without: sandbox, with: after, endpoint }, facts),
    };
    if (dryRun === true) {
      await undo.run(ctx.logger);
      return { value: endpoint, plan, warnings };
    }
    await openSegment(ctx, network, facts);
    const told = { before: sandbox, after };
    // The namespace is there: sockets in it need not wait for the interface. Names that others find do.
    const beside = async (): Promise<void> => {
      undo.defer(() => retellNames(ctx, { before: after, after: sandbox }, facts));
      await answerIn(ctx, told, facts);
    };
    await ctx.executor.make(plan, [putEndpoint(endpoint)], { beside, after: async () => tellRecords(ctx, told) });
    ctx.registry.setSandbox(after);
    await meetOthers(ctx, network, facts);
    if (after !== joined) await ctx.executor.commit([putSandbox(after)]);
    emitAttachment(ctx, { network, sandbox: after, action: 'connect' });
    return { value: endpoint, plan, warnings };
  } catch (error) {
    await undo.run(ctx.logger);
    throw error;
  }
}

/**
 * A network that something can be attached to.
 * @throws not-found also for one that is on its way out: no lock is held while it goes, so this is what keeps it empty.
 */
export function attachable(ctx: Context, reference: string): Network {
  const network = ctx.registry.network(reference);
  if (ctx.registry.isLeaving(network.id)) throw notFound(`network ${reference} not found`);
  return network;
}

/** Interfaces of an adopted namespace that we did not make, so that ours get other names. Own namespaces have none. */
async function foreignInterfaces(ctx: Context, sandbox: Sandbox): Promise<string[]> {
  if (sandbox.netns.type !== 'adopted') return [];
  return interfacesIn(ctx, netnsOf(sandbox));
}

/**
 * Interfaces of a namespace that is to be adopted.
 * @throws not-found when there is none; invalid for the host's own: endpoints in it would take over the host's routes and settings;
 * conflict when it is another sandbox's.
 */
export async function interfacesToAdopt(ctx: Context, source: string): Promise<string[]> {
  const [found, host] = await ctx.kernel.snapshot([source, HOST], ['links']);
  if (found === null || found === undefined) throw notFound(`no network namespace at ${source}`);
  if (found.identity === host?.identity)
    throw invalid(`cannot adopt ${source}: it is the host's own network namespace: attach the sandbox to network host instead`);
  await checkNobodys(ctx, source, found);
  return found.links.map((link) => link.name);
}

/** @throws not-found when the namespace is gone. */
async function interfacesIn(ctx: Context, path: string): Promise<string[]> {
  const [state] = await ctx.kernel.snapshot([path], ['links']);
  if (state === null || state === undefined) throw notFound(`network namespace ${path} does not exist`);
  return state.links.map((link) => link.name);
}

export type DetachOptions = OperationOptions & { readonly force?: boolean };

/** The sandbox's lock is held. @throws conflict, in Docker's words, when it is not attached */
export async function detach(
  ctx: Context,
  { network, sandbox }: { readonly network: Network; readonly sandbox: Sandbox },
  { dryRun, force = false }: DetachOptions,
): Promise<Outcome<Endpoint>> {
  const endpoint = sandbox.endpoints.find(({ networkId }) => networkId === network.id);
  if (endpoint === undefined) throw conflict(`container ${sandbox.id} is not connected to network ${network.name}`);
  const facts = await ctx.facts.get();
  const alone: Sandbox = { ...sandbox, endpoints: sandbox.endpoints.filter((one) => one !== endpoint) };
  const undo = new Undo();
  const { sandbox: after, warnings: lost } = await movePorts(ctx, alone, undo);
  const plan: Plan = {
    title: `disconnect ${sandbox.name} from network ${network.name}`,
    changes: disconnectChanges(ctx, { without: after, with: sandbox, endpoint }, facts),
  };
  if (dryRun === true) {
    await undo.run(ctx.logger);
    return { value: endpoint, plan, warnings: lost };
  }
  using _guard = ctx.registry.guard(endpoint.id);
  const warnings = [...lost];
  const moved = after === alone ? [] : [putSandbox(after)];
  const back = after === alone ? [] : [putSandbox(sandbox)];
  try {
    const writes = [deleteEndpoint(endpoint.id), ...keepTurns(ctx, network), ...moved];
    const left = await ctx.executor.unmake(plan, { writes, restore: [putEndpoint(endpoint), ...back] });
    warnings.push(...leftWarnings(left));
  } catch (error) {
    // With force the namespace may be gone, and everything in it: then nothing could be changed, and nothing is left either.
    if (!force || !(error instanceof MoorError)) {
      await undo.run(ctx.logger);
      throw error;
    }
    await ctx.executor.commit([deleteEndpoint(endpoint.id), ...keepTurns(ctx, network), ...moved]);
    warnings.push(error.message);
  }
  ctx.registry.setSandbox(after);
  await retellNames(ctx, { before: sandbox, after }, facts);
  await releaseEndpoint(ctx, network, endpoint);
  await closeSegment(ctx, network);
  emitAttachment(ctx, { network, sandbox: after, action: 'disconnect' });
  return { value: endpoint, plan, warnings };
}

export function emitAttachment(
  ctx: Context,
  {
    network,
    sandbox,
    action,
  }: { readonly network: Network; readonly sandbox: Sandbox; readonly action: 'connect' | 'disconnect' },
): void {
  const attributes = networkAttributes(network, sandbox);
  ctx.events.emit({ type: 'network', action, actorId: network.id, attributes, time: ctx.clock.now() });
}
