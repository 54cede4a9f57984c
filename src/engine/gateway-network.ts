/**
 * The way out of sandboxes whose networks have none: an endpoint on a bridge of this host, which comes with the first network that needs it and goes
 * with the last, or as soon as there is another way out. Docker's `docker_gwbridge`, with its rules: an administrator may make the network
 * beforehand, with a subnet of his own.
 */
import { conflict } from '../base/errors.ts';
import type { Network, NetworkSpec } from '../model/network.ts';
import type { Sandbox } from '../model/sandbox.ts';
import { askedFor, GATEWAY_NETWORK } from '../model/way-out.ts';
import { attach, detach } from './attach.ts';
import { type Context, driverOf } from './context.ts';
import { createNetwork } from './networks.ts';

const DRIVER = 'bridge';

/** Whether something on these networks, and on no others, is to be attached to the gateway network as well. */
export function lacksWayOut(ctx: Context, networks: readonly Network[]): boolean {
  const needs = networks.some((network) => driverOf(ctx, network.driver).needsWayOut?.(network) === true);
  return needs && !networks.some((network) => isWayOut(ctx, network));
}

/** Published ports can lead by way of it, and a default route through it. */
const isWayOut = (ctx: Context, network: Network): boolean =>
  !network.internal && driverOf(ctx, network.driver).planPorts !== undefined;

/** Made when it is first needed. @throws conflict when something else has its name */
export async function gatewayNetwork(ctx: Context): Promise<Network> {
  using _lock = await ctx.locks.hold(GATEWAY_NETWORK);
  const known = ctx.registry.networkNamed(GATEWAY_NETWORK);
  if (known === undefined) return (await createNetwork(ctx, specOf(ctx))).value;
  if (isWayOut(ctx, known)) return known;
  throw conflict(
    `Cannot use network ${GATEWAY_NETWORK} as the way out of overlay networks: it is ${known.internal ? 'internal' : `of driver ${known.driver}`}; remove it, and it is made as it should be`,
  );
}

/** Its sandboxes do not reach each other by way of it: that is for the networks that they were attached to. */
const specOf = ({ config }: Context): NetworkSpec => ({
  name: GATEWAY_NETWORK,
  driver: DRIVER,
  options: {
    // Two instances on one host cannot have one device.
    ...(config.instance.id === '' ? { 'com.docker.network.bridge.name': GATEWAY_NETWORK } : {}),
    'com.docker.network.bridge.enable_icc': 'false',
    'com.docker.network.bridge.enable_ip_masquerade': 'true',
  },
});

/** What has to be done about a sandbox's way out, now that its networks have changed. */
type Step = 'add' | 'remove' | 'nothing';

function stepOf(ctx: Context, sandbox: Sandbox): Step {
  if (sandbox.netns.type === 'host') return 'nothing';
  const has = sandbox.endpoints.some(({ automatic }) => automatic === true);
  const networks = askedFor(sandbox).flatMap(({ networkId }) => ctx.registry.networks.get(networkId) ?? []);
  const lacks = lacksWayOut(ctx, networks);
  return has === lacks ? 'nothing' : lacks ? 'add' : 'remove';
}

/**
 * The gateway endpoint comes or goes. The sandbox's lock is held.
 * @returns warnings @throws what keeps it from coming
 */
export async function settleWayOut(ctx: Context, id: Sandbox['id']): Promise<readonly string[]> {
  const sandbox = ctx.registry.sandboxes.get(id);
  if (sandbox === undefined) return [];
  switch (stepOf(ctx, sandbox)) {
    case 'nothing':
      return [];
    case 'add': {
      const network = await gatewayNetwork(ctx);
      return (await attach(ctx, { network, sandbox, spec: {}, automatic: true }, {})).warnings;
    }
    case 'remove': {
      const endpoint = sandbox.endpoints.find(({ automatic }) => automatic === true);
      const network = endpoint === undefined ? undefined : ctx.registry.networks.get(endpoint.networkId);
      if (network === undefined) return [];
      return (await detach(ctx, { network, sandbox }, {})).warnings;
    }
  }
}

/** At the start: a crash may have come between a sandbox's network and its way out. Never throws. */
export async function settleWaysOut(ctx: Context): Promise<void> {
  for (const { id, name } of [...ctx.registry.sandboxes.values()]) {
    try {
      using _lock = await ctx.locks.hold(id);
      await settleWayOut(ctx, id);
    } catch (error) {
      ctx.logger.error({ err: error, sandbox: id }, `sandbox ${name} has no way out`);
    }
  }
}
