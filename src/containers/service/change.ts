/** Changes of a container that do not touch its process: name, limits, restart policy. */
import { conflict, invalid, MoorError } from '../../base/errors.ts';
import type { HostConfig } from '../../model/container.ts';
import { sandboxOf } from './attachments.ts';
import type { Context } from './context.ts';
import { containerEvent } from './events.ts';
import { isUp } from './registry.ts';
import { save } from './state.ts';
import { checkRestartPolicy, isNone } from './validate.ts';
import { checkResources } from './validate-resources.ts';

/** @throws invalid, conflict with Docker's texts */
export async function renameContainer(ctx: Context, reference: string, text: string): Promise<void> {
  const name = text.startsWith('/') ? text.slice(1) : text;
  if (name === '' || reference === '') throw invalid('Neither old nor new names may be empty');
  const { id } = ctx.registry.find(reference).container;
  using _lock = await ctx.locks.hold(id);
  const live = ctx.registry.find(id);
  const old = live.container.name;
  if (name === old) throw invalid('Renaming a container with the same name as its current name');
  const held = reserve(ctx, name, live.container.id);
  const before = live.container;
  const sandbox = sandboxOf(ctx, id);
  try {
    if (sandbox !== undefined) await ctx.engine.sandboxes.rename(id, name);
    live.container = { ...before, name };
    await save(ctx, live);
  } catch (error) {
    live.container = before;
    if (sandbox !== undefined) await ctx.engine.sandboxes.rename(id, old);
    held.release();
    throw error;
  }
  live.releaseName();
  live.releaseName = held.release;
  ctx.registry.renamed(live, old);
  containerEvent(ctx, live.container, ['rename', { oldName: `/${old}` }]);
}

function reserve(
  ctx: Context,
  name: string,
  id: Parameters<Context['engine']['sandboxes']['reserveName']>[1],
): { release: () => void } {
  try {
    return ctx.engine.sandboxes.reserveName(name, id);
  } catch (error) {
    if (!(error instanceof MoorError)) throw error;
    throw new MoorError(error.kind, `Error when allocating new name: ${error.message}`, { cause: error });
  }
}

/** What `docker update` can change, of all that a HostConfig has. */
const UPDATABLE = [
  'CpuPeriod',
  'CpuQuota',
  'CpuShares',
  'CpusetCpus',
  'Memory',
  'MemoryReservation',
  'MemorySwap',
  'NanoCpus',
  'PidsLimit',
] as const satisfies readonly (keyof HostConfig)[];

/** @returns warnings */
export async function updateContainer(ctx: Context, reference: string, changes: Partial<HostConfig>): Promise<readonly string[]> {
  const { id } = ctx.registry.find(reference).container;
  using _lock = await ctx.locks.hold(id);
  const live = ctx.registry.find(id);
  const { hostConfig, state } = live.container;
  const about = (message: string): string => `Cannot update container ${id}: ${message}`;
  if (state.status === 'removing' || state.status === 'dead') {
    throw conflict(about('container is marked for removal and cannot be "update"'));
  }
  const limits = Object.fromEntries(
    UPDATABLE.flatMap((key) => (changes[key] === undefined || changes[key] === hostConfig[key] ? [] : [[key, changes[key]]])),
  ) as Partial<HostConfig>;
  const policy = changes.RestartPolicy;
  const replaced = policy !== undefined && policy.Name !== '';
  if (replaced) {
    checkRestartPolicy(policy);
    if (hostConfig.AutoRemove && !isNone(policy)) {
      throw invalid('Restart policy cannot be updated because AutoRemove is enabled for the container');
    }
  }
  const after: HostConfig = { ...hostConfig, ...limits, ...(replaced ? { RestartPolicy: policy } : {}) };
  checkResources(after);
  if (isUp(state) && Object.keys(limits).length > 0) await ctx.runtime.update(id, limits);
  live.container = { ...live.container, hostConfig: after };
  await save(ctx, live);
  containerEvent(ctx, live.container, 'update');
  return [];
}
