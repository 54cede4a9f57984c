/** What stands in the way of something new, in words of whoever asked for it: the kernel only knows of its devices. */
import { conflict, MoorError } from '../base/errors.ts';
import type { Change } from '../contracts/change.ts';
import { describe } from '../contracts/describe.ts';
import type { NetnsState } from '../contracts/kernel.ts';
import type { Network } from '../model/network.ts';
import type { Context } from './context.ts';

/** @returns the error of a plan that makes a network, in other words when a device of the host has its bridge's name */
export function deviceTaken(error: unknown, network: Network, changes: readonly Change[]): unknown {
  if (!(error instanceof MoorError) || error.kind !== 'conflict' || error.kernel === undefined) return error;
  const { kernel } = error;
  for (const change of changes) {
    if (change.kind !== 'link' || change.op !== 'add' || describe(change) !== kernel.operation) continue;
    return new MoorError(
      'conflict',
      `cannot create network ${network.name}: the host has a device ${change.link.name} that is not this network's: ` +
        'give its bridge another name, or remove the device',
      { cause: error, kernel },
    );
  }
  return error;
}

/**
 * A namespace is one sandbox's: a second one would fight with the first over the default route.
 * @param source as the user named it
 * @throws conflict naming the sandbox that has it
 */
export async function checkNobodys(ctx: Context, source: string, { identity, links }: NetnsState): Promise<void> {
  // Where there is only the loopback nothing of a sandbox can be in the way, and all others need not be asked.
  if (links.every(({ name }) => name === 'lo')) return;
  const pins = ctx.registry.pins();
  const states = await ctx.kernel.snapshot(pins, []);
  const at = states.findIndex((state) => state?.identity === identity);
  const owner = ctx.registry.pinOwner(pins[at] ?? '');
  const sandbox = owner === undefined ? undefined : ctx.registry.sandboxes.get(owner);
  if (sandbox === undefined) return;
  throw conflict(
    `cannot adopt ${source}: it is the network namespace of sandbox ${sandbox.name}: connect that one to networks, or remove it first`,
  );
}
