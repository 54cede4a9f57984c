/** A container's networks as its record has them, and as its running sandbox has them. */
import { MoorError } from '../../base/errors.ts';
import type { Id } from '../../base/ids.ts';
import type { Container } from '../../model/container.ts';
import type { Endpoint, EndpointSpec, Sandbox } from '../../model/sandbox.ts';
import { askedFor } from '../../model/way-out.ts';
import type { Context } from './context.ts';

/** The engine's sandbox of a container that runs with one. */
export const sandboxOf = (ctx: Context, id: Id): Sandbox | undefined => orUndefined(() => ctx.engine.sandboxes.get(id));

function orUndefined<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch (error) {
    if (error instanceof MoorError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

/** What to attach to at the next start: what a running container is attached to now, whoever connected it. */
export function attachmentsOf(ctx: Context, { id, networks }: Container): Container['networks'] {
  const sandbox = sandboxOf(ctx, id);
  if (sandbox === undefined) return networks;
  return askedFor(sandbox).map((endpoint) => ({ network: networkName(ctx, endpoint), endpoint: specOf(endpoint) }));
}

function networkName(ctx: Context, { networkId }: Endpoint): string {
  return orUndefined(() => ctx.engine.networks.get(networkId))?.name ?? networkId;
}

/** What was asked for, without what was chosen. */
function specOf({ requested, aliases, links = [], gatewayPriority, options }: Endpoint): EndpointSpec {
  return {
    ...requested,
    ...(aliases.length === 0 ? {} : { aliases }),
    ...(links.length === 0 ? {} : { links }),
    ...(gatewayPriority === 0 ? {} : { gatewayPriority }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
  };
}
