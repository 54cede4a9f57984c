/** What the kernel should hold for a network, a sandbox, an endpoint: stored data and host facts in, changes out. */
import { type Change, HOST, type Netns } from '../contracts/change.ts';
import type { JoinPlan } from '../contracts/driver.ts';
import { inversePlan, subsume } from '../contracts/inverse.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Network } from '../model/network.ts';
import type { Endpoint, Sandbox } from '../model/sandbox.ts';
import { type Context, driverOf } from './context.ts';
import { sysctlChanges } from './endpoint-options.ts';
import { sandboxFiles } from './files.ts';
import { chooseGateways, type DefaultGateways, gatewayChanges, NO_GATEWAYS } from './gateway.ts';
import { isNamed, nameChanges, namedNetworks } from './names.ts';

export const netnsOf = (sandbox: Sandbox): Netns => (sandbox.netns.type === 'host' ? HOST : sandbox.netns.path);

/** What the drivers need once per daemon. */
export const hostChanges = (ctx: Context, facts: HostFacts): Change[] =>
  ctx.drivers.flatMap((driver) => driver.planHost?.(facts) ?? []);

/** What an earlier day's `hostChanges` may have left. */
export const staleHostChanges = (ctx: Context, facts: HostFacts): Change[] =>
  ctx.drivers.flatMap((driver) => driver.planHostStale?.(facts) ?? []);

export const networkChanges = (ctx: Context, network: Network, facts: HostFacts): readonly Change[] =>
  driverOf(ctx, network.driver).planNetwork(network, facts);

export const networkRemoval = (ctx: Context, network: Network, facts: HostFacts): Change[] =>
  subsume(inversePlan(networkChanges(ctx, network, facts)));

/** The namespace itself. */
export function namespaceChanges({ netns }: Sandbox): Change[] {
  switch (netns.type) {
    case 'own':
      return [{ kind: 'netns', op: 'add', path: netns.path }];
    case 'adopted':
      return [{ kind: 'netns-pin', op: 'add', path: netns.path, source: netns.source }];
    case 'host':
      return [];
  }
}

interface Join {
  readonly endpoint: Endpoint;
  readonly network: Network;
  readonly plan: JoinPlan;
}

/** @param network given when it is not in the registry yet. */
function join(
  ctx: Context,
  { sandbox, endpoint }: { readonly sandbox: Sandbox; readonly endpoint: Endpoint },
  facts: HostFacts,
): Join | null {
  const network = ctx.registry.networks.get(endpoint.networkId);
  if (network === undefined) {
    ctx.logger.error(
      { endpoint: endpoint.id, sandbox: sandbox.name },
      `an endpoint's network ${endpoint.networkId} cannot be read`,
    );
    return null;
  }
  const netns = netnsOf(sandbox);
  const plan = driverOf(ctx, network.driver).planJoin(network, { endpoint, netns }, facts);
  return { endpoint, network, plan: { ...plan, changes: [...plan.changes, ...sysctlChanges(endpoint, netns)] } };
}

const joins = (ctx: Context, sandbox: Sandbox, facts: HostFacts): Join[] =>
  sandbox.endpoints.flatMap((endpoint) => join(ctx, { sandbox, endpoint }, facts) ?? []);

const gatewaysOf = (list: readonly Join[]): DefaultGateways =>
  chooseGateways(
    list.map(({ endpoint, network, plan }) => ({
      networkName: network.name,
      interfaceName: endpoint.interfaceName,
      priority: endpoint.gatewayPriority,
      gateway4: plan.gateway4,
      gateway6: plan.gateway6,
    })),
  );

/** A whole sandbox: namespace, files, every endpoint, the way out. */
export function sandboxChanges(ctx: Context, sandbox: Sandbox, facts: HostFacts): Change[] {
  const all = joins(ctx, sandbox, facts);
  return [
    ...namespaceChanges(sandbox),
    ...nameChanges(ctx, sandbox),
    ...sandboxFiles(ctx, { before: null, after: sandbox }, facts),
    ...all.flatMap(({ plan }) => plan.changes),
    ...gatewayChanges(netnsOf(sandbox), NO_GATEWAYS, gatewaysOf(all)),
  ];
}

export const sandboxRemoval = (ctx: Context, sandbox: Sandbox, facts: HostFacts): Change[] =>
  subsume(inversePlan(sandboxChanges(ctx, sandbox, facts)));

/** Two values of one sandbox that differ by an endpoint. */
export interface Attach {
  readonly without: Sandbox;
  readonly with: Sandbox;
  readonly endpoint: Endpoint;
}

export function connectChanges(ctx: Context, attach: Attach, facts: HostFacts): Change[] {
  const before = gatewaysOf(joins(ctx, attach.without, facts));
  const after = gatewaysOf(joins(ctx, attach.with, facts));
  return [
    ...(join(ctx, { sandbox: attach.with, endpoint: attach.endpoint }, facts)?.plan.changes ?? []),
    ...gatewayChanges(netnsOf(attach.with), before, after),
    ...(isNamed(namedNetworks(ctx), attach.without) ? [] : nameChanges(ctx, attach.with)),
    ...sandboxFiles(ctx, { before: attach.without, after: attach.with }, facts),
  ];
}

export function disconnectChanges(ctx: Context, attach: Attach, facts: HostFacts): Change[] {
  const before = gatewaysOf(joins(ctx, attach.with, facts));
  const after = gatewaysOf(joins(ctx, attach.without, facts));
  const routes = gatewayChanges(netnsOf(attach.with), before, after);
  const leave = inversePlan(join(ctx, { sandbox: attach.with, endpoint: attach.endpoint }, facts)?.plan.changes ?? []);
  return subsume([
    // Not the plain inverse of connect: the new default route may only come when the old one has gone, and that goes with its device.
    ...routes.filter((change) => change.kind === 'route' && change.op === 'remove'),
    ...leave,
    ...routes.filter((change) => change.kind === 'route' && change.op === 'add'),
    ...(isNamed(namedNetworks(ctx), attach.without) ? [] : inversePlan(nameChanges(ctx, attach.with))),
    ...sandboxFiles(ctx, { before: attach.with, after: attach.without }, facts),
  ]);
}
