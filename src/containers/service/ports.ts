/** Published ports of containers: Docker's words as requests to the engine, and more or fewer of them while one runs. */
import { conflict, invalid, MoorError, notFound } from '../../base/errors.ts';
import type { OperationOptions, Outcome, PublishedPorts } from '../../contracts/engine.ts';
import type { Container, ContainerConfig, HostConfig } from '../../model/container.ts';
import { coalesce, partAll } from '../../model/ports-list.ts';
import { parseBinding, parseContainerPorts, portCount } from '../../model/ports-parse.ts';
import { notPublishedText, rangeText } from '../../model/ports-text.ts';
import type { PortSpec } from '../../model/ports.ts';
import { sandboxOf } from './attachments.ts';
import type { Context } from './context.ts';
import { networkMode } from './network-mode.ts';
import type { Live } from './registry.ts';
import { save } from './state.ts';

type Bindings = HostConfig['PortBindings'];

/** What a container asks for at its start, neighbours joined. `-P`: every exposed port that is not published otherwise. */
export function portSpecs({ config, hostConfig }: Pick<Container, 'config' | 'hostConfig'>): PortSpec[] {
  const { type } = networkMode(hostConfig.NetworkMode);
  // As Docker: on the host's network they are discarded, with a warning when it is made.
  if (type === 'host' || type === 'container') return [];
  const asked = Object.entries(hostConfig.PortBindings).flatMap(([key, entries]) => {
    const ports = containerPorts(key);
    // Docker: a key without entries is on any free port.
    return (entries.length === 0 ? [{ HostIp: '', HostPort: '' }] : entries).map((entry) => binding(ports, entry));
  });
  if (hostConfig.PublishAllPorts !== true) return coalesce(asked);
  const exposed = Object.keys(config.ExposedPorts ?? {})
    .filter((key) => hostConfig.PortBindings[key] === undefined)
    .map((key) => ({ ...containerPorts(key), hostAddress: null, hostPorts: null }));
  return coalesce([...asked, ...exposed]);
}

/** @throws invalid with Docker's texts */
export function checkPorts(config: ContainerConfig, hostConfig: HostConfig): void {
  for (const key of Object.keys(hostConfig.PortBindings)) {
    if (portCount(containerPorts(key).containerPorts) > 1) throw badPort(key.split('/')[0] ?? '');
  }
  portSpecs({ config, hostConfig: { ...hostConfig, NetworkMode: '' } });
}

const badPort = (text: string): MoorError => invalid(`invalid port specification: ${JSON.stringify(text.slice(0, 64))}`);

function containerPorts(key: string): ReturnType<typeof parseContainerPorts> {
  try {
    return parseContainerPorts(key);
  } catch (error) {
    if (error instanceof MoorError && error.message.startsWith('invalid proto')) throw error;
    throw badPort(key.split('/')[0] ?? '');
  }
}

function binding(ports: ReturnType<typeof parseContainerPorts>, { HostIp, HostPort }: Bindings[string][number]): PortSpec {
  try {
    return parseBinding(ports, { hostIp: HostIp, hostPort: HostPort });
  } catch (error) {
    if (error instanceof MoorError && error.message.startsWith('invalid IP')) throw error;
    throw badPort(HostPort);
  }
}

/** Docker's map of requests: a key for each container port. */
function portMap(specs: readonly PortSpec[]): Bindings {
  const map: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const { protocol, hostAddress, hostPorts, containerPorts: ports } of specs) {
    const choice = hostPorts !== null && portCount(hostPorts) !== portCount(ports);
    for (let port = ports.from; port <= ports.to; port++) {
      const host = hostPorts === null ? '' : choice ? rangeText(hostPorts) : String(hostPorts.from + port - ports.from);
      (map[`${port}/${protocol}`] ??= []).push({ HostIp: hostAddress ?? '', HostPort: host });
    }
  }
  return map;
}

function merged(a: Bindings, b: Bindings): Bindings {
  const map: Record<string, Bindings[string]> = { ...a };
  for (const [key, entries] of Object.entries(b)) map[key] = [...(map[key] ?? []), ...entries];
  return map;
}

const REMOVED = ['removing', 'dead'];

/** The container's lock is held. @throws conflict, invalid */
function assertOwnStack({ container: { name, hostConfig, state } }: Live): void {
  if (REMOVED.includes(state.status)) throw conflict(`Cannot change the ports of ${name}: it is being removed`);
  const { type } = networkMode(hostConfig.NetworkMode);
  if (type === 'container') throw invalid('conflicting options: port publishing and the container type network mode');
  if (type === 'host')
    throw invalid(`Cannot publish ports of ${name}: it has the network of the host, whose ports its programs have themselves`);
}

/**
 * Of a container that runs, without touching it; of one that does not, for its next start.
 * @throws as the engine does
 */
export async function publishContainer(
  ctx: Context,
  { reference, specs }: { readonly reference: string; readonly specs: readonly PortSpec[] },
  options: OperationOptions = {},
): Promise<Outcome<PublishedPorts>> {
  const { id } = ctx.registry.find(reference).container;
  using _lock = await ctx.locks.hold(id);
  const live = ctx.registry.find(id);
  assertOwnStack(live);
  const { name, hostConfig } = live.container;
  const outcome: Outcome<PublishedPorts> =
    sandboxOf(ctx, id) === undefined
      ? notRunning(live, { title: `publish ports of ${name}`, publish: [...portSpecs(live.container), ...specs] })
      : await ctx.engine.sandboxes.publish(id, specs, options);
  if (options.dryRun === true) return outcome;
  await keep(ctx, live, { ...hostConfig, PortBindings: merged(hostConfig.PortBindings, portMap(specs)) });
  return outcome;
}

/** @throws not-found when one of the specifications selects nothing */
export async function unpublishContainer(
  ctx: Context,
  { reference, specs }: { readonly reference: string; readonly specs: readonly PortSpec[] },
  options: OperationOptions = {},
): Promise<Outcome<PublishedPorts>> {
  const { id } = ctx.registry.find(reference).container;
  using _lock = await ctx.locks.hold(id);
  const live = ctx.registry.find(id);
  assertOwnStack(live);
  const outcome =
    sandboxOf(ctx, id) === undefined ? unpublishStopped(live, specs) : await ctx.engine.sandboxes.unpublish(id, specs, options);
  if (options.dryRun === true) return outcome;
  // From now on what is left is asked for one by one: `-P` would bring back what was taken away.
  const PortBindings = portMap(outcome.value.publish);
  await keep(ctx, live, { ...live.container.hostConfig, PortBindings, PublishAllPorts: false });
  return outcome;
}

function unpublishStopped(live: Live, specs: readonly PortSpec[]): Outcome<PublishedPorts> {
  const asked = portSpecs(live.container);
  const { name } = live.container;
  for (const spec of specs) {
    if (partAll(asked, [spec]).taken.length > 0) continue;
    throw notFound(notPublishedText(spec, { name, ports: [] }));
  }
  return notRunning(live, { title: `unpublish ports of ${name}`, publish: partAll(asked, specs).left });
}

function notRunning(
  { container: { id, name } }: Live,
  { title, publish }: { readonly title: string; readonly publish: readonly PortSpec[] },
): Outcome<PublishedPorts> {
  return { value: { sandbox: { id, name }, publish, ports: [] }, plan: { title, changes: [] }, warnings: [] };
}

async function keep(ctx: Context, live: Live, hostConfig: HostConfig): Promise<void> {
  live.container = { ...live.container, hostConfig };
  await save(ctx, live);
}
