/** `docker network connect` and `disconnect`: of a running container in its sandbox, of a stopped one in its record. */
import { conflict, invalid, MoorError } from '../../base/errors.ts';
import type { EndpointSpec } from '../../model/sandbox.ts';
import { attachmentsOf, sandboxOf } from './attachments.ts';
import type { Context } from './context.ts';
import { networkMode } from './network-mode.ts';
import { isUp, type Live } from './registry.ts';
import { save } from './state.ts';

const SHARED = 'container sharing network namespace with another container or host cannot be connected to any other network';

/** @param reference a container, or a sandbox of the engine's that is none */
export async function connectContainer(
  ctx: Context,
  network: string,
  { reference, endpoint }: { readonly reference: string; readonly endpoint: EndpointSpec },
): Promise<void> {
  const live = ctx.registry.lookup(reference);
  if (live === undefined) {
    await ctx.engine.networks.connect(network, { sandbox: reference, endpoint });
    return;
  }
  using _lock = await ctx.locks.hold(live.container.id);
  const { id, hostConfig, networks } = live.container;
  const mode = networkMode(hostConfig.NetworkMode);
  if (mode.type === 'container') throw invalid(SHARED);
  if (runs(ctx, live)) {
    await ctx.engine.networks.connect(network, { sandbox: id, endpoint });
    live.container = { ...live.container, networks: attachmentsOf(ctx, live.container) };
  } else {
    const { name } = ctx.engine.networks.get(network);
    const joined = { network: name, endpoint };
    // One that has been removed meanwhile is for the start to complain of: here it would keep every other from being added.
    const there = networks.filter((one) => idOf(ctx, one.network) !== null);
    ctx.engine.sandboxes.check({ id, name: live.container.name, networks: [...there, joined] });
    live.container = { ...live.container, networks: [...networks, joined] };
  }
  await save(ctx, live);
}

export async function disconnectContainer(
  ctx: Context,
  network: string,
  { reference, force }: { readonly reference: string; readonly force: boolean },
): Promise<void> {
  const live = ctx.registry.lookup(reference);
  if (live === undefined) {
    await ctx.engine.networks.disconnect(network, reference, { force });
    return;
  }
  using _lock = await ctx.locks.hold(live.container.id);
  const { id, networks, hostConfig } = live.container;
  if (networkMode(hostConfig.NetworkMode).type === 'host') {
    throw invalid('cannot disconnect container from host network - container was created in host network mode');
  }
  if (runs(ctx, live)) {
    await ctx.engine.networks.disconnect(network, id, { force });
    live.container = { ...live.container, networks: attachmentsOf(ctx, live.container) };
  } else {
    // Also from one that is gone: only its name is left, in the record, and keeps the container from starting.
    const wanted = idOf(ctx, network) ?? network;
    const left = networks.filter((one) => (idOf(ctx, one.network) ?? one.network) !== wanted);
    if (left.length === networks.length) {
      if (!force) ctx.engine.networks.get(network);
      throw conflict(`container ${id} is not connected to network ${network}`);
    }
    live.container = { ...live.container, networks: left };
  }
  await save(ctx, live);
}

const runs = (ctx: Context, { container: { id, state } }: Live): boolean => isUp(state) && sandboxOf(ctx, id) !== undefined;

/** A network's id; null when there is no such network. */
function idOf(ctx: Context, reference: string): string | null {
  try {
    return ctx.engine.networks.get(reference).id;
  } catch (error) {
    if (error instanceof MoorError && error.kind === 'not-found') return null;
    throw error;
  }
}
