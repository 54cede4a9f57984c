/** Attach a sandbox to a network, and detach it; with the way out that it needs then. */
import { conflict, invalid, notFound } from '../base/errors.ts';
import type { OperationOptions, Outcome } from '../contracts/engine.ts';
import type { Endpoint, EndpointSpec } from '../model/sandbox.ts';
import { attach, attachable, detach, type DetachOptions } from './attach.ts';
import type { Context } from './context.ts';
import { withOptions } from './endpoint-options.ts';
import { settleWayOut } from './gateway-network.ts';
import { netnsOf } from './plans.ts';

export async function connect(
  ctx: Context,
  { network: networkReference, sandbox: sandboxReference, spec: asked }: ConnectInput,
  options: OperationOptions = {},
): Promise<Outcome<Endpoint>> {
  const spec = withOptions(asked);
  const { id, name } = ctx.registry.sandbox(sandboxReference);
  using _lock = await ctx.locks.hold(id);
  const sandbox = ctx.registry.sandboxes.get(id);
  if (sandbox === undefined) throw notFound(`No such container: ${name}`);
  const network = attachable(ctx, networkReference);
  if (options.dryRun !== true) ctx.kernel.expect([netnsOf(sandbox)]);
  const outcome = await attach(ctx, { network, sandbox, spec }, options);
  if (options.dryRun === true) return outcome;
  try {
    return { ...outcome, warnings: [...outcome.warnings, ...(await settleWayOut(ctx, id))] };
  } catch (error) {
    const after = ctx.registry.sandboxes.get(id);
    if (after !== undefined) await detach(ctx, { network, sandbox: after }, { force: true });
    throw error;
  }
}

interface ConnectInput {
  readonly network: string;
  readonly sandbox: string;
  readonly spec: EndpointSpec;
}

export async function disconnect(
  ctx: Context,
  { network: networkReference, sandbox: sandboxReference }: { readonly network: string; readonly sandbox: string },
  options: DetachOptions = {},
): Promise<Outcome<Endpoint>> {
  const network = ctx.registry.network(networkReference);
  const { id, name } = ctx.registry.sandbox(sandboxReference);
  using _lock = await ctx.locks.hold(id);
  const sandbox = ctx.registry.sandboxes.get(id);
  if (sandbox === undefined) throw notFound(`No such container: ${name}`);
  if (sandbox.netns.type === 'host' && network.driver === 'host') {
    throw invalid('cannot disconnect container from host network - container was created in host network mode');
  }
  if (sandbox.endpoints.some(({ networkId, automatic }) => networkId === network.id && automatic === true)) {
    throw conflict(
      `container ${sandbox.id} is not connected to network ${network.name}, but to others whose way out it is: it goes with them`,
    );
  }
  if (options.dryRun !== true) ctx.kernel.expect([netnsOf(sandbox)]);
  const outcome = await detach(ctx, { network, sandbox }, options);
  if (options.dryRun === true) return outcome;
  try {
    return { ...outcome, warnings: [...outcome.warnings, ...(await settleWayOut(ctx, id))] };
  } catch (error) {
    // It is disconnected all the same.
    const why = error instanceof Error ? error.message : String(error);
    return { ...outcome, warnings: [...outcome.warnings, `${name} has no way out now: ${why}`] };
  }
}
