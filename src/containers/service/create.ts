/** `docker create`: everything is checked before anything is made. */
import { hostname } from 'node:os';
import { type Id, newId, shortId } from '../../base/ids.ts';
import type { ContainerSpec } from '../../contracts/containers.ts';
import type { Container, ContainerConfig, HostConfig, Volume } from '../../model/container.ts';
import { SHM_SIZE } from '../../model/container-defaults.ts';
import type { Context } from './context.ts';
import { containerEvent, volumeCreated } from './events.ts';
import { checkLinks } from './links.ts';
import { mergeConfig } from './merge.ts';
import { wantedMounts } from './mounts.ts';
import { checkNetworkMode, type NetworkMode, networksOf } from './network-mode.ts';
import { checkPorts } from './ports.ts';
import { deleteContainer, deleteVolume, putContainer, putVolume } from './records.ts';
import { newLive } from './registry.ts';
import { CREATED, isoNow } from './state.ts';
import { Undo } from './undo.ts';
import { checkConfig } from './validate.ts';
import { copyUp, makeDirectory, removeDirectory, resolveVolumes } from './volumes.ts';

export interface Created {
  readonly container: Container;
  readonly warnings: readonly string[];
}

/** @throws invalid, not-found (image, network), conflict (name), unsupported; Docker's texts. Then nothing was made. */
export async function createContainer(ctx: Context, spec: ContainerSpec): Promise<Created> {
  const image = ctx.images.get(spec.config.Image);
  const merged = mergeConfig(spec.config, image.config);
  checkConfig(merged, spec.hostConfig);
  checkPorts(merged, spec.hostConfig);
  const mode = checkNetworkMode({ ...spec, config: merged });
  const hostConfig = completed(spec.hostConfig, mode.type === 'container' ? ctx.registry.find(mode.reference).container : null);
  checkLinks(ctx, { hostConfig });
  const wanted = wantedMounts(merged, spec.hostConfig);
  const networks = networksOf(mode, spec);
  const id = newId();
  const config = named(merged, mode, id);
  if (mode.type !== 'container') ctx.engine.sandboxes.check({ id, networks, ...hostnameOf(mode, config) });
  const held = ctx.engine.sandboxes.reserveName(spec.name ?? null, id);
  const undo = new Undo();
  undo.defer('release the name', async () => held.release());
  try {
    const { mounts, fresh } = resolveVolumes(ctx, wanted);
    const container: Container = {
      id,
      name: held.name,
      created: isoNow(ctx),
      imageId: image.id,
      config,
      hostConfig,
      networks,
      mounts,
      state: CREATED,
      restartCount: 0,
      stoppedByUser: false,
    };
    await make(ctx, { container, fresh }, undo);
    const live = newLive(container, held.release);
    ctx.registry.add(live);
    for (const volume of fresh) volumeCreated(ctx, volume);
    containerEvent(ctx, container, 'create');
    return { container, warnings: warningsOf(container) };
  } catch (error) {
    await undo.run(ctx.logger);
    throw error;
  }
}

interface Making {
  readonly container: Container;
  /** Volumes that are made for it. */
  readonly fresh: readonly Volume[];
}

/** Rows first, so that a crash leaves nothing that nobody knows of; a row `making` is taken back at the next start. */
async function make(ctx: Context, { container, fresh }: Making, undo: Undo): Promise<void> {
  const { id, mounts } = container;
  const copies = mounts.filter(({ type, copy }) => type === 'volume' && copy);
  ctx.volumes.use(container);
  undo.defer('release volumes', async () => ctx.volumes.release(container));
  for (const volume of fresh) ctx.volumes.add(volume);
  const gone: string[] = [];
  undo.defer('take back rows', () => ctx.store.commit([deleteContainer(container), ...gone.map(deleteVolume)]));
  // Before their rows: a crash in between must leave no folder that nobody knows of.
  undo.defer('take back volumes', async () => {
    // Another container may have found a volume in the meantime, and now has it.
    const unused = fresh.filter(({ name }) => ctx.volumes.users(name).every((user) => user === id));
    for (const { name } of unused) ctx.volumes.remove(name);
    for (const volume of unused) {
      try {
        await removeDirectory(ctx, volume.name);
        gone.push(volume.name);
      } catch (error) {
        ctx.volumes.add(volume);
        throw error;
      }
    }
  });
  await ctx.store.commit([putContainer(container, { making: copies.length > 0 }), ...fresh.map(putVolume)]);
  undo.defer('remove the writable layer', () => ctx.rootFiles.remove(id));
  const lower = ctx.images.lower(container.imageId);
  await ctx.rootFiles.create(id, lower);
  for (const { name } of mounts) if (name !== undefined) await makeDirectory(ctx, ctx.volumes.get(name));
  if (copies.length === 0) return;
  const root = await ctx.roots.hold(id, lower);
  try {
    for (const mount of copies) await copyUp(root, mount);
  } finally {
    await ctx.roots.release(id);
  }
  await ctx.store.commit([putContainer(container)]);
}

/** Docker's default host name is the short id, and the host's own where its network is. */
function named(config: ContainerConfig, mode: NetworkMode, id: Id): ContainerConfig {
  if (config.Hostname !== '' || mode.type === 'container') return config;
  return { ...config, Hostname: mode.type === 'host' ? hostname() : shortId(id) };
}

const hostnameOf = (mode: NetworkMode, { Hostname }: ContainerConfig): { readonly hostname?: string } =>
  mode.type === 'host' || Hostname === '' ? {} : { hostname: Hostname };

/**
 * Defaults as Docker's daemon fills them in, so that inspect shows them.
 * @param peer whose network it joins: by id from now on, because names change hands
 */
function completed(host: HostConfig, peer: Container | null): HostConfig {
  const { RestartPolicy, LogConfig } = host;
  return {
    ...host,
    NetworkMode: peer !== null ? `container:${peer.id}` : host.NetworkMode === '' ? 'default' : host.NetworkMode,
    IpcMode: host.IpcMode === '' ? 'private' : host.IpcMode,
    ShmSize: host.ShmSize === 0 ? SHM_SIZE : host.ShmSize,
    // As much swap as memory, as Docker counts it: the sum of both.
    MemorySwap: host.Memory > 0 && host.MemorySwap === 0 ? 2 * host.Memory : host.MemorySwap,
    RestartPolicy: RestartPolicy.Name === '' ? { ...RestartPolicy, Name: 'no' } : RestartPolicy,
    LogConfig: LogConfig.Type === '' ? { ...LogConfig, Type: 'json-file' } : LogConfig,
  };
}

function warningsOf({ hostConfig }: Container): string[] {
  const { NetworkMode, PortBindings, OomKillDisable, Memory } = hostConfig;
  return [
    ...(NetworkMode === 'host' && Object.keys(PortBindings).length > 0
      ? ['Published ports are discarded when using host network mode']
      : []),
    ...(OomKillDisable && Memory === 0
      ? [
          'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
        ]
      : []),
  ];
}
