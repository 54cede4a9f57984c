/** A container's network stack at its start: a sandbox of the engine's, the host's, or another container's. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { conflict, invalid } from '../../base/errors.ts';
import type { Id } from '../../base/ids.ts';
import { mergeDns, resolvConf } from '../../model/resolv-conf.ts';
import type { Container } from '../../model/container.ts';
import type { SandboxSpec } from '../../model/sandbox.ts';
import { sandboxOf } from './attachments.ts';
import type { Context } from './context.ts';
import { resolveExtraHosts } from './extra-hosts.ts';
import { linkedHosts } from './links.ts';
import { networkMode } from './network-mode.ts';
import { portSpecs } from './ports.ts';
import { isUp, type Live } from './registry.ts';

export interface Stack {
  /** Namespace file; null: the host's. */
  readonly netns: string | null;
  readonly hostname: string;
  /** Files mounted over the root's: target -> host path. */
  readonly files: Readonly<Record<string, string>>;
}

/** @throws as the engine does when it attaches; conflict when another container's stack is wanted and it does not run */
export async function makeStack(ctx: Context, container: Container): Promise<Stack> {
  const { id, name, config, hostConfig, networks } = container;
  const mode = networkMode(hostConfig.NetworkMode);
  if (mode.type === 'container') return joinedStack(ctx, container, mode.reference);
  const extraHosts = [...resolveExtraHosts(ctx.engine, hostConfig.ExtraHosts), ...linkedHosts(ctx, container)];
  const spec: SandboxSpec = {
    id,
    name,
    networks,
    managed: true,
    ports: portSpecs(container),
    labels: config.Labels,
    domainname: config.Domainname,
    extraHosts,
    dns: { servers: hostConfig.Dns, search: hostConfig.DnsSearch, options: hostConfig.DnsOptions },
    ...(mode.type === 'host' || config.Hostname === '' ? {} : { hostname: config.Hostname }),
  };
  const { value } = await ctx.engine.sandboxes.create(spec);
  if (value.netns.type === 'host') await writeHostFiles(ctx, container);
  return {
    netns: value.netns.type === 'host' ? null : value.netns.path,
    hostname: config.Hostname,
    files: filesOf(ctx, container),
  };
}

/** Removes what `makeStack` made. Idempotent. */
export async function removeStack(ctx: Context, id: Id): Promise<void> {
  await rm(hostFiles(ctx, id), { recursive: true, force: true });
  if (sandboxOf(ctx, id) !== undefined) await ctx.engine.sandboxes.remove(id, { managed: true });
}

function joinedStack(ctx: Context, container: Container, reference: string): Stack {
  const other = runningPeer(ctx, container, { reference, what: 'network namespace' }).container;
  return {
    // By process: a sandbox's pin would do, but the other one may itself have joined a third.
    netns: `/proc/${other.state.process?.pid ?? 0}/ns/net`,
    hostname: hostnameOf(ctx, other),
    files: filesOf(ctx, other),
  };
}

/** A running container whose namespace is to be shared. @throws not-found, conflict, invalid; Docker's texts */
export function runningPeer(
  ctx: Context,
  container: Container,
  { reference, what }: { readonly reference: string; readonly what: string },
): Live {
  const live = ctx.registry.find(reference);
  const { id, name, state } = live.container;
  if (id === container.id) throw invalid(`cannot join own ${what}`);
  if (state.status === 'restarting') {
    throw conflict(`cannot join ${what} of container: Container ${id} is restarting, wait until the container is running`);
  }
  if (!isUp(state)) throw conflict(`cannot join ${what} of a non running container: container ${name} is ${state.status}`);
  return live;
}

function hostnameOf(ctx: Context, { config, hostConfig }: Container): string {
  const mode = networkMode(hostConfig.NetworkMode);
  if (mode.type !== 'container') return config.Hostname;
  const other = ctx.registry.lookup(mode.reference);
  return other === undefined ? '' : hostnameOf(ctx, other.container);
}

/** The three files under /etc of a container that has a stack, by target path. */
export function filesOf(ctx: Context, { id, hostConfig }: Container): Readonly<Record<string, string>> {
  const mode = networkMode(hostConfig.NetworkMode);
  if (mode.type === 'host') {
    const names = ['hosts', 'resolv.conf', 'hostname'];
    return Object.fromEntries(names.map((name) => [`/etc/${name}`, `${hostFiles(ctx, id)}/${name}`]));
  }
  if (mode.type !== 'container') return ctx.engine.sandboxes.files(id);
  const other = ctx.registry.lookup(mode.reference);
  return other === undefined ? {} : filesOf(ctx, other.container);
}

const hostFiles = (ctx: Context, id: Id): string => `${ctx.config.execRoot}/host-files/${id}`;

/** In the host's stack the host's files hold, in a copy, because the container may write to them. */
async function writeHostFiles(ctx: Context, { id, config, hostConfig }: Container): Promise<void> {
  const directory = hostFiles(ctx, id);
  const read = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
  const [hosts, resolv] = await Promise.all([read('/etc/hosts'), read('/etc/resolv.conf')]);
  const extra = resolveExtraHosts(ctx.engine, hostConfig.ExtraHosts).map(({ name, address }) => `${address}\t${name}\n`);
  const own = { servers: hostConfig.Dns, search: hostConfig.DnsSearch, options: hostConfig.DnsOptions };
  const dns = mergeDns(own, ctx.config.dns);
  const changed = dns.servers.length + dns.search.length + dns.options.length > 0;
  await mkdir(directory, { recursive: true, mode: 0o755 });
  await Promise.all([
    writeFile(`${directory}/hosts`, `${hosts.replace(/([^\n])$/, '$1\n')}${extra.join('')}`),
    writeFile(`${directory}/resolv.conf`, changed ? resolvConf(resolv, { kind: 'host', ipv6: true, own: dns }) : resolv),
    writeFile(`${directory}/hostname`, `${config.Hostname}\n`),
  ]);
}
