/** Create and remove sandboxes, and tell which process lives in one. */
import { conflict, invalid, notFound } from '../base/errors.ts';
import { type Id, newId, shortId } from '../base/ids.ts';
import type { Plan } from '../contracts/change.ts';
import type { OperationOptions, Outcome, RemoveSandboxOptions } from '../contracts/engine.ts';
import { netnsDirectory } from '../model/instance.ts';
import { checkHostname, checkSandboxName } from '../model/names.ts';
import type { Network } from '../model/network.ts';
import { coalesce } from '../model/ports-list.ts';
import type { EndpointSpec, ProcessRef, Sandbox, SandboxNetns, SandboxSpec } from '../model/sandbox.ts';
import { autoName } from './auto-name.ts';
import { attachable, emitAttachment, interfacesToAdopt } from './attach.ts';
import { type Context, Undo } from './context.ts';
import { buildEndpoint, checkCombination, checkEndpointSpec, checkRoom, releaseEndpoint } from './endpoints.ts';
import { withOptions } from './endpoint-options.ts';
import { sandboxAttributes } from './events.ts';
import { sandboxFiles } from './files.ts';
import { gatewayNetwork, lacksWayOut } from './gateway-network.ts';
import { forgetNames, retellNames, tellNames } from './names.ts';
import { keepTurns } from './network-pools.ts';
import { leftWarnings } from './networks.ts';
import { sandboxChanges, sandboxRemoval } from './plans.ts';
import { staleFlows } from './port-flows.ts';
import { hostPortsOf, releasePorts } from './port-reserve.ts';
import { guardLocalhost, withPorts } from './ports.ts';
import { deleteEndpoint, deleteSandbox, putEndpoint, putSandbox } from './records.ts';
import { meetOthers } from './remotes.ts';
import { closeSegment, joinNetwork, openSegment } from './segments.ts';

/** What a sandbox without `networks` is attached to. */
const DEFAULT_NETWORK = 'bridge';

interface Wanted {
  readonly network: Network;
  readonly spec: EndpointSpec;
  readonly automatic?: true;
}

export async function createSandbox(
  ctx: Context,
  spec: SandboxSpec,
  { dryRun }: OperationOptions = {},
): Promise<Outcome<Sandbox>> {
  const id = spec.id ?? newId();
  if (ctx.registry.knows(id)) throw conflict(`sandbox ${id} exists already`);
  checkNames(spec);
  const name = spec.name ?? autoName((candidate) => ctx.registry.sandboxNameTaken(candidate));
  const resolved = resolveNetworks(ctx, spec);
  const wanted = [...resolved];
  const netns = namespaceOf(ctx, { id, spec, wanted });
  using _name = ctx.registry.reserveSandbox(name, id);
  using _guard = ctx.registry.guard(id);
  await using ports = new AsyncDisposableStack();
  const undo = new Undo();
  try {
    const taken = netns.type === 'adopted' ? await interfacesToAdopt(ctx, netns.source) : [];
    const facts = await ctx.facts.get();
    let sandbox: Sandbox = {
      id,
      name,
      created: new Date(ctx.clock.now()).toISOString(),
      hostname: spec.hostname ?? (netns.type === 'host' ? facts.hostname : shortId(id)),
      netns,
      labels: spec.labels ?? {},
      process: null,
      autoRemove: spec.autoRemove ?? false,
      ...(spec.creator === undefined ? {} : { creator: spec.creator }),
      ...(spec.domainname === undefined ? {} : { domainname: spec.domainname }),
      ...(spec.dns === undefined ? {} : { dns: spec.dns }),
      ...(spec.extraHosts === undefined ? {} : { extraHosts: spec.extraHosts }),
      ...(spec.managed === true ? { managed: true } : {}),
      endpoints: [],
    };
    checkAll(ctx, sandbox, wanted);
    if (
      lacksWayOut(
        ctx,
        resolved.map(({ network }) => network),
      ) &&
      dryRun !== true
    )
      wanted.push({ network: await gatewayNetwork(ctx), spec: {}, automatic: true });
    for (const { network, spec: asked, automatic = false } of wanted) {
      checkRoom(ctx, { sandbox, network, taken }, asked);
      ports.use(joinNetwork(ctx, network));
      const endpoint = await buildEndpoint(ctx, { sandbox, network, spec: asked, taken, automatic }, undo);
      ports.use(ctx.registry.guard(endpoint.id));
      sandbox = { ...sandbox, endpoints: [...sandbox.endpoints, endpoint] };
    }
    sandbox = await withPorts(ctx, { sandbox, specs: coalesce(spec.ports ?? []) }, undo);
    const changes = [...sandboxChanges(ctx, sandbox, facts), ...staleFlows(sandbox.ports ?? [], facts)];
    const plan: Plan = { title: `create sandbox ${name}`, changes };
    if (dryRun === true) {
      await undo.run(ctx.logger);
      return { value: sandbox, plan, warnings: [] };
    }
    for (const { network } of wanted) await openSegment(ctx, network, facts);
    await guardLocalhost(ctx, sandbox);
    const rows = sandbox.endpoints.map(putEndpoint);
    const made = sandbox;
    const after = async (): Promise<void> => {
      undo.defer(() => forgetNames(ctx, [made]));
      await tellNames(ctx, { before: null, after: made }, facts);
    };
    await ctx.executor.make(plan, [putSandbox(sandbox), ...rows], { after });
    ctx.registry.setSandbox(sandbox);
    for (const { network } of wanted) await meetOthers(ctx, network, facts);
    if (netns.type !== 'host') ctx.watcher.observe([netns.path]);
    emit(ctx, sandbox, 'create');
    for (const { network } of wanted) emitAttachment(ctx, { network, sandbox, action: 'connect' });
    return { value: sandbox, plan, warnings: [] };
  } catch (error) {
    await undo.run(ctx.logger);
    throw error;
  }
}

function resolveNetworks(ctx: Context, spec: SandboxSpec): Wanted[] {
  const asked = spec.networks ?? [{ network: DEFAULT_NETWORK }];
  return asked.map(({ network, endpoint }) => ({ network: attachable(ctx, network), spec: withOptions(endpoint ?? {}) }));
}

function checkNames({ name, hostname }: SandboxSpec): void {
  if (name !== undefined) checkSandboxName(name);
  if (hostname !== undefined) checkHostname(hostname);
}

/** Names, networks and endpoints of a specification; not whether addresses are free. @throws as `createSandbox` */
export function checkSandbox(ctx: Context, spec: SandboxSpec): void {
  checkNames(spec);
  const id = spec.id ?? newId();
  const wanted = resolveNetworks(ctx, spec);
  const netns = namespaceOf(ctx, { id, spec, wanted });
  const name = spec.name ?? shortId(id);
  const empty = { id, name, created: '', hostname: '', netns, labels: {}, process: null, autoRemove: false, endpoints: [] };
  checkAll(ctx, empty, wanted);
}

/** @param name null: make one up. @throws conflict with Docker's text, invalid. */
export function reserveName(ctx: Context, name: string | null, id: Id): { readonly name: string; readonly release: () => void } {
  if (name !== null) checkSandboxName(name);
  const chosen = name ?? autoName((candidate) => ctx.registry.sandboxNameTaken(candidate));
  return { name: chosen, release: ctx.registry.holdName(chosen, id) };
}

/** The name in the hosts file changes with it. */
export async function renameSandbox(ctx: Context, reference: string, name: string): Promise<Sandbox> {
  checkSandboxName(name);
  const { id, name: old } = ctx.registry.sandbox(reference);
  using _lock = await ctx.locks.hold(id);
  const sandbox = ctx.registry.sandboxes.get(id);
  if (sandbox === undefined) throw notFound(`No such container: ${old}`);
  using _name = ctx.registry.reserveSandbox(name, id);
  const after: Sandbox = { ...sandbox, name };
  const facts = await ctx.facts.get();
  const changes = sandboxFiles(ctx, { before: sandbox, after }, facts);
  await ctx.executor.make({ title: `rename sandbox ${old} to ${name}`, changes }, []);
  await ctx.executor.commit([putSandbox(after)]);
  ctx.registry.setSandbox(after);
  await retellNames(ctx, { before: sandbox, after }, facts);
  return after;
}

function namespaceOf(
  ctx: Context,
  { id, spec, wanted }: { readonly id: Id; readonly spec: SandboxSpec; readonly wanted: readonly Wanted[] },
): SandboxNetns {
  const path = `${netnsDirectory(ctx.config.instance)}/${shortId(id)}`;
  const host = wanted.some(({ network }) => network.driver === 'host');
  if (spec.adopt === undefined) return host ? { type: 'host' } : { type: 'own', path };
  if (host) throw invalid('conflicting options: an adopted network namespace cannot be attached to the host network');
  return { type: 'adopted', path, source: adoptedSource(spec.adopt) };
}

function adoptedSource(adopt: NonNullable<SandboxSpec['adopt']>): string {
  if ('pid' in adopt) {
    if (!Number.isSafeInteger(adopt.pid) || adopt.pid <= 0) throw invalid(`invalid process id: ${String(adopt.pid)}`);
    return `/proc/${adopt.pid}/ns/net`;
  }
  if (!adopt.path.startsWith('/') || adopt.path.includes('\0') || adopt.path.length > 4095) {
    throw invalid(`invalid network namespace path: ${adopt.path.slice(0, 64)}: it must be absolute`);
  }
  return adopt.path;
}

/** Everything that can be said before anything is reserved. */
function checkAll(ctx: Context, empty: Sandbox, wanted: readonly Wanted[]): void {
  let sandbox = empty;
  for (const { network, spec } of wanted) {
    checkCombination(ctx, sandbox, network);
    checkEndpointSpec(network, spec);
    // Enough of an endpoint for the next network's check against this one.
    sandbox = { ...sandbox, endpoints: [...sandbox.endpoints, placeholder(sandbox, network)] };
  }
}

const placeholder = (sandbox: Sandbox, network: Network): Sandbox['endpoints'][number] => ({
  id: sandbox.id,
  networkId: network.id,
  sandboxId: sandbox.id,
  created: sandbox.created,
  interfaceName: '',
  hostInterfaceName: '',
  mac: null,
  ipv4: null,
  ipv6: null,
  requested: {},
  aliases: [],
  gatewayPriority: 0,
  options: {},
});

/** @throws conflict with Docker's text while its main process runs, unless forced: then the process is killed. */
export async function removeSandbox(
  ctx: Context,
  reference: string,
  { dryRun, force = false, managed = false }: RemoveSandboxOptions = {},
): Promise<Outcome<Sandbox>> {
  const { id, name } = ctx.registry.sandbox(reference);
  using _lock = await ctx.locks.hold(id);
  const sandbox = ctx.registry.sandboxes.get(id);
  if (sandbox === undefined) throw notFound(`No such container: ${name}`);
  if (sandbox.managed === true && !managed) {
    throw conflict(`Cannot remove sandbox ${name}: it belongs to the running container ${name}, and goes with it`);
  }
  const running = sandbox.process !== null && ctx.processes.alive(sandbox.process);
  if (running && !force) {
    throw conflict(
      `cannot remove container "${reference}": container is running: stop the container before removing or force remove`,
    );
  }
  const facts = await ctx.facts.get();
  const plan: Plan = { title: `remove sandbox ${name}`, changes: sandboxRemoval(ctx, sandbox, facts) };
  if (dryRun === true) return { value: sandbox, plan, warnings: [] };
  // At once, as `docker rm --force`: whoever wants it to end in order stops it first.
  if (running && sandbox.process !== null) await ctx.processes.stop(sandbox.process, 0);
  return await dropSandbox(ctx, sandbox, plan);
}

/** The removal itself; the sandbox's lock is held. */
export async function dropSandbox(ctx: Context, sandbox: Sandbox, plan: Plan): Promise<Outcome<Sandbox>> {
  using guards = new DisposableStack();
  for (const one of [sandbox, ...sandbox.endpoints]) guards.use(ctx.registry.guard(one.id));
  const writes = [
    deleteSandbox(sandbox.id),
    ...sandbox.endpoints.flatMap(({ id, networkId }) => {
      const network = ctx.registry.networks.get(networkId);
      return [deleteEndpoint(id), ...(network === undefined ? [] : keepTurns(ctx, network))];
    }),
  ];
  const restore = [putSandbox(sandbox), ...sandbox.endpoints.map(putEndpoint)];
  const left = await ctx.executor.unmake(plan, { writes, restore });
  await forgetNames(ctx, [sandbox]);
  ctx.registry.removeSandbox(sandbox.id);
  await releasePorts(ctx, sandbox.id, hostPortsOf(sandbox.ports ?? []));
  if (sandbox.netns.type !== 'host') ctx.watcher.forget([sandbox.netns.path]);
  for (const endpoint of sandbox.endpoints) {
    const network = ctx.registry.networks.get(endpoint.networkId);
    if (network === undefined) continue;
    await releaseEndpoint(ctx, network, endpoint);
    await closeSegment(ctx, network);
    emitAttachment(ctx, { network, sandbox, action: 'disconnect' });
  }
  emit(ctx, sandbox, 'destroy');
  return { value: sandbox, plan, warnings: leftWarnings(left) };
}

/** @throws conflict while another process is the main one and runs. */
export async function setProcess(ctx: Context, reference: string, process: ProcessRef): Promise<Sandbox> {
  const { id, name } = ctx.registry.sandbox(reference);
  using _lock = await ctx.locks.hold(id);
  const sandbox = ctx.registry.sandboxes.get(id);
  if (sandbox === undefined) throw notFound(`No such container: ${name}`);
  if (sandbox.managed === true)
    throw conflict(`Cannot start ${process.command.join(' ')} as the main process of ${name}: it is a container`);
  const before = sandbox.process;
  const same = before?.pid === process.pid && before.startTime === process.startTime;
  if (before !== null && !same && ctx.processes.alive(before)) {
    throw conflict(`Cannot start ${process.command.join(' ')} as the main process of ${name}: process ${before.pid} is`);
  }
  const { creator: _, ...rest } = sandbox;
  const after: Sandbox = { ...rest, process };
  await ctx.executor.commit([putSandbox(after)]);
  ctx.registry.setSandbox(after);
  if (!same) emit(ctx, after, 'start');
  return after;
}

/** Of a container its service tells. */
export function emit(ctx: Context, sandbox: Sandbox, action: 'create' | 'start' | 'die' | 'destroy'): void {
  if (sandbox.managed === true) return;
  const attributes = sandboxAttributes(sandbox);
  ctx.events.emit({ type: 'container', action, actorId: sandbox.id, attributes, time: ctx.clock.now() });
}
