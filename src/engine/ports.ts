/** Publishing ports of a sandbox that exists, and ending it. What a new sandbox publishes is part of its creation. */
import { errorFrom, invalid, MoorError, notFound } from '../base/errors.ts';
import type { Plan } from '../contracts/change.ts';
import type { OperationOptions, Outcome, PublishedPorts } from '../contracts/engine.ts';
import { partAll } from '../model/ports-list.ts';
import { bindingText, notPublishedText, specText } from '../model/ports-text.ts';
import type { PortBinding, PortSpec } from '../model/ports.ts';
import type { Sandbox } from '../model/sandbox.ts';
import { type Context, Undo } from './context.ts';
import { sandboxAttributes } from './events.ts';
import { leftWarnings } from './networks.ts';
import { failures } from './executor.ts';
import { difference, hostChanges, sandboxPortChanges, waysOut } from './plans.ts';
import { endedFlows, staleFlows } from './port-flows.ts';
import { fits, hostPortsOf, releasePorts, reservePorts } from './port-reserve.ts';
import { putSandbox } from './records.ts';
import type { Ways } from './way.ts';

/** What a sandbox that is being made publishes; held until `undo` runs. @throws as `reservePorts` */
export async function withPorts(
  ctx: Context,
  { sandbox, specs }: { readonly sandbox: Sandbox; readonly specs: readonly PortSpec[] },
  undo: Undo,
): Promise<Sandbox> {
  if (specs.length === 0) return sandbox;
  const ways = waysOut(ctx, sandbox, await ctx.facts.get());
  try {
    const ports = await reservePorts(ctx, { owner: sandbox.id, specs, ways, have: [] }, undo);
    return { ...sandbox, publish: specs, ports };
  } catch (error) {
    throw asDriverFailure(error, sandbox, ways);
  }
}

export const publishes = ({ publish = [], ports = [] }: Sandbox): boolean => publish.length > 0 || ports.length > 0;

/**
 * Carries out the host's plan as it is with published ports, before the first of them: with a port a bridge takes packets for 127.0.0.0/8, and nothing but the
 * table keeps out those that a sandbox sends. Costs nothing from then on. Not undone: it harms nobody.
 * @throws what the kernel says
 */
export async function guardLocalhost(ctx: Context, sandbox: Sandbox): Promise<void> {
  if (!publishes(sandbox) || (await ctx.facts.get()).localhostPorts === true) return;
  // Before anything is waited for: whoever comes next is behind us in the kernel's queue.
  ctx.facts.setLocalhostPorts(true);
  try {
    const tables = hostChanges(ctx, ctx.facts.known()).filter(({ kind }) => kind === 'nft-table');
    const [failure] = failures(tables, await ctx.kernel.apply(tables));
    if (failure !== undefined) throw errorFrom(failure.error);
  } catch (error) {
    ctx.facts.setLocalhostPorts(false);
    throw error;
  }
}

/** Docker's words around what keeps a container from starting. */
function asDriverFailure(error: unknown, { managed, name }: Sandbox, { v4, v6 }: Ways): unknown {
  const endpoint = v4?.endpoint ?? v6?.endpoint;
  if (managed !== true || endpoint === undefined || !(error instanceof MoorError)) return error;
  const where = `driver failed programming external connectivity on endpoint ${name} (${endpoint.id})`;
  return new MoorError(error.kind, `failed to set up container networking: ${where}: ${error.message}`, { cause: error });
}

/**
 * The ports of a sandbox whose endpoints have changed: those whose family has another way out follow it. New ones are held, and those that
 * go are given back, until `undo` runs.
 * @returns warnings for what cannot be published any more
 */
export async function movePorts(
  ctx: Context,
  sandbox: Sandbox,
  undo: Undo,
): Promise<{ readonly sandbox: Sandbox; readonly warnings: readonly string[] }> {
  const { publish: specs = [], ports: have = [] } = sandbox;
  if (specs.length === 0) return { sandbox, warnings: [] };
  const ways = waysOut(ctx, sandbox, await ctx.facts.get());
  const warnings: string[] = [];
  const failed = (spec: PortSpec, error: MoorError): void =>
    void warnings.push(`${specText(spec)} could not be published as before: ${error.message}`);
  const ports = await reservePorts(ctx, { owner: sandbox.id, specs, ways, have, failed }, undo);
  return { sandbox: same(have, ports) ? sandbox : { ...sandbox, ports }, warnings };
}

const same = (a: readonly PortBinding[], b: readonly PortBinding[]): boolean =>
  a.map(bindingText).toSorted().join() === b.map(bindingText).toSorted().join();

/** @throws invalid for the host's own stack, whose ports are the host's anyway; else as `reservePorts` */
export async function publishPorts(
  ctx: Context,
  { reference, specs }: { readonly reference: string; readonly specs: readonly PortSpec[] },
  { dryRun }: OperationOptions = {},
): Promise<Outcome<Sandbox>> {
  using lock = await holdSandbox(ctx, reference);
  const { sandbox } = lock;
  if (sandbox.netns.type === 'host') {
    throw invalid(
      `Cannot publish ports of ${sandbox.name}: it has the network of the host, whose ports its programs have themselves`,
    );
  }
  const undo = new Undo();
  try {
    const facts = await ctx.facts.get();
    const ways = waysOut(ctx, sandbox, facts);
    const bindings = await reservePorts(ctx, { owner: sandbox.id, specs, ways, have: [] }, undo);
    const after: Sandbox = {
      ...sandbox,
      publish: [...(sandbox.publish ?? []), ...specs],
      ports: [...(sandbox.ports ?? []), ...bindings],
    };
    const { come } = difference(sandboxPortChanges(ctx, sandbox, facts), sandboxPortChanges(ctx, after, facts));
    const plan: Plan = { title: `publish ports of ${sandbox.name}`, changes: [...come, ...staleFlows(bindings, facts)] };
    const warnings = specs
      .filter(
        (spec) => !bindings.some((one) => one.protocol === spec.protocol && one.containerPorts.from === spec.containerPorts.from),
      )
      .map((spec) => `${specText(spec)} is published as soon as ${sandbox.name} has a network that can publish it`);
    if (dryRun === true) {
      await undo.run(ctx.logger);
      return { value: after, plan, warnings };
    }
    await guardLocalhost(ctx, after);
    await ctx.executor.make(plan, []);
    try {
      await ctx.executor.commit([putSandbox(after)]);
    } catch (error) {
      await ctx.executor.undo(plan.changes, undefined);
      throw error;
    }
    ctx.registry.setSandbox(after);
    emit(ctx, after, { action: 'publish', ports: bindings });
    return { value: after, plan, warnings };
  } catch (error) {
    await undo.run(ctx.logger);
    throw error;
  }
}

/** @param specs `80/tcp` stands for every host port that leads there. @throws not-found, in Docker's words, when nothing is published so */
export async function unpublishPorts(
  ctx: Context,
  { reference, specs }: { readonly reference: string; readonly specs: readonly PortSpec[] },
  { dryRun }: OperationOptions = {},
): Promise<Outcome<Sandbox>> {
  using lock = await holdSandbox(ctx, reference);
  const { sandbox } = lock;
  const { publish = [], ports = [] } = sandbox;
  for (const spec of specs) {
    if (partAll([...publish, ...ports], [spec]).taken.length > 0) continue;
    throw notFound(notPublishedText(spec, { name: sandbox.name, ports }));
  }
  const { taken, left } = partAll(ports, specs);
  const after: Sandbox = { ...sandbox, publish: remaining(publish, { ports, specs }), ports: left };
  const facts = await ctx.facts.get();
  // A range that loses a part is another element.
  const { gone, come } = difference(sandboxPortChanges(ctx, sandbox, facts), sandboxPortChanges(ctx, after, facts));
  const plan: Plan = {
    title: `unpublish ports of ${sandbox.name}`,
    changes: [...gone, ...come, ...endedFlows(taken, waysOut(ctx, sandbox, facts))],
  };
  if (dryRun === true) return { value: after, plan, warnings: [] };
  const failed = await ctx.executor.unmake(plan, { writes: [putSandbox(after)], restore: [putSandbox(sandbox)] });
  ctx.registry.setSandbox(after);
  await releasePorts(ctx, sandbox.id, hostPortsOf(taken));
  emit(ctx, after, { action: 'unpublish', ports: taken });
  return { value: after, plan, warnings: leftWarnings(failed) };
}

/** Requests without what was taken from what they had led to; where that was only a part, what is left is asked for exactly. */
function remaining(
  publish: readonly PortSpec[],
  { ports, specs }: { readonly ports: readonly PortBinding[]; readonly specs: readonly PortSpec[] },
): PortSpec[] {
  const pool = [...ports];
  return publish.flatMap((spec): readonly PortSpec[] => {
    const own = pool.filter((one) => fits(one, spec) && (spec.hostAddress ?? one.hostAddress) === one.hostAddress);
    // Of two requests for the same container port each has its own numbers.
    const mine = own.filter(({ hostPorts }) => hostPorts.from === own[0]?.hostPorts.from);
    for (const one of mine) pool.splice(pool.indexOf(one), 1);
    if (mine.length === 0) return partAll([spec], specs).left;
    const { taken, left } = partAll(mine, specs);
    if (taken.length === 0) return [spec];
    return left.flatMap((one, i): readonly PortSpec[] => {
      const alike = left.filter(({ hostPorts }) => hostPorts.from === one.hostPorts.from);
      if (alike.length < mine.length) return [one];
      return left.indexOf(alike[0] ?? one) === i ? [{ ...one, hostAddress: spec.hostAddress }] : [];
    });
  });
}

/** What the doors are told. */
export const publishedPorts = ({ value, ...rest }: Outcome<Sandbox>): Outcome<PublishedPorts> => ({
  ...rest,
  value: { sandbox: { id: value.id, name: value.name }, publish: value.publish ?? [], ports: value.ports ?? [] },
});

/** @throws not-found */
async function holdSandbox(ctx: Context, reference: string): Promise<{ readonly sandbox: Sandbox } & Disposable> {
  const { id, name } = ctx.registry.sandbox(reference);
  const lock = await ctx.locks.hold(id);
  const sandbox = ctx.registry.sandboxes.get(id);
  if (sandbox !== undefined) return { sandbox, [Symbol.dispose]: () => lock[Symbol.dispose]() };
  lock[Symbol.dispose]();
  throw notFound(`No such container: ${name}`);
}

function emit(
  ctx: Context,
  sandbox: Sandbox,
  { action, ports }: { readonly action: 'publish' | 'unpublish'; readonly ports: readonly PortBinding[] },
): void {
  const attributes = { ...sandboxAttributes(sandbox), ports: ports.map(bindingText).join(', ') };
  ctx.events.emit({ type: 'container', action, actorId: sandbox.id, attributes, time: ctx.clock.now() });
}
