/** Docker's `HostConfig`, of create and update requests. */
import { invalid, unsupported } from '../../base/errors.ts';
import type { HostConfig, MountRequest, RestartPolicy, Ulimit } from '../../model/container.ts';
import { SHM_SIZE } from '../../model/container-defaults.ts';
import type { JsonObject } from '../body.ts';
import { compact, given } from '../network-request.ts';
import { refuseUnbuilt } from './unbuilt.ts';

/** @throws invalid with Docker's texts; unsupported for what Docker can do and Moorline cannot */
export function hostConfig(body: JsonObject, version: { readonly minor: number; readonly cgroupVersion: 1 | 2 }): HostConfig {
  refuseUnbuilt(body, version.cgroupVersion);
  const networkMode = body.string('NetworkMode') ?? '';
  const log = body.object('LogConfig');
  return {
    ...resources(body),
    Binds: body.strings('Binds') ?? [],
    Mounts: body.objects('Mounts')?.map((mount) => mountRequest(mount, version)) ?? [],
    Tmpfs: body.stringMap('Tmpfs') ?? {},
    NetworkMode: networkMode === '' || networkMode === 'default' ? 'bridge' : networkMode,
    PortBindings: portBindings(body),
    PublishAllPorts: body.boolean('PublishAllPorts') ?? false,
    RestartPolicy: restartPolicy(body.object('RestartPolicy')),
    // Before API 1.25 removing was the client's business.
    AutoRemove: version.minor >= 25 && (body.boolean('AutoRemove') ?? false),
    Privileged: body.boolean('Privileged') ?? false,
    ReadonlyRootfs: body.boolean('ReadonlyRootfs') ?? false,
    CapAdd: body.words('CapAdd') ?? [],
    CapDrop: body.words('CapDrop') ?? [],
    SecurityOpt: body.strings('SecurityOpt') ?? [],
    Sysctls: body.stringMap('Sysctls') ?? {},
    Dns: body.strings('Dns') ?? [],
    DnsOptions: body.strings('DnsOptions') ?? [],
    DnsSearch: body.strings('DnsSearch') ?? [],
    ExtraHosts: body.strings('ExtraHosts') ?? [],
    Links: body.strings('Links') ?? [],
    OomScoreAdj: body.integer('OomScoreAdj') ?? 0,
    ShmSize: body.integer('ShmSize') || SHM_SIZE,
    Init: body.boolean('Init') ?? false,
    PidMode: body.string('PidMode') ?? '',
    // Before API 1.40 others could always share a container's IPC.
    IpcMode: given(body.string('IpcMode')) ?? (version.minor < 40 ? 'shareable' : 'private'),
    UTSMode: body.string('UTSMode') ?? '',
    GroupAdd: body.strings('GroupAdd') ?? [],
    LogConfig: { Type: given(log?.string('Type')) ?? 'json-file', Config: log?.stringMap('Config') ?? {} },
  };
}

/** Keys are written out: `80` is `80/tcp`. */
function portBindings(body: JsonObject): HostConfig['PortBindings'] {
  const map: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const [key, entries] of Object.entries(body.objectListMap('PortBindings') ?? {})) {
    (map[key.includes('/') ? key : `${key}/tcp`] ??= []).push(
      ...entries.map((entry) => ({ HostIp: entry.string('HostIp') ?? '', HostPort: entry.string('HostPort') ?? '' })),
    );
  }
  return map;
}

type Resources = Pick<
  HostConfig,
  | 'Memory'
  | 'MemoryReservation'
  | 'MemorySwap'
  | 'NanoCpus'
  | 'CpuShares'
  | 'CpuPeriod'
  | 'CpuQuota'
  | 'CpusetCpus'
  | 'PidsLimit'
  | 'OomKillDisable'
  | 'Ulimits'
  | 'Devices'
>;

function resources(body: JsonObject): Resources {
  const number = (name: string): number => body.integer(name) ?? 0;
  const pids = body.integer('PidsLimit') ?? 0;
  return {
    Memory: number('Memory'),
    MemoryReservation: number('MemoryReservation'),
    MemorySwap: number('MemorySwap'),
    NanoCpus: number('NanoCpus'),
    CpuShares: number('CpuShares'),
    CpuPeriod: number('CpuPeriod'),
    CpuQuota: number('CpuQuota'),
    CpusetCpus: body.string('CpusetCpus') ?? '',
    // 0 and everything below mean that there is no limit.
    PidsLimit: pids > 0 ? pids : null,
    OomKillDisable: body.boolean('OomKillDisable') ?? false,
    Ulimits: body.objects('Ulimits')?.map(ulimit) ?? [],
    Devices:
      body.objects('Devices')?.map((device) => ({
        PathOnHost: device.string('PathOnHost') ?? '',
        PathInContainer: device.string('PathInContainer') ?? '',
        CgroupPermissions: device.string('CgroupPermissions') ?? '',
      })) ?? [],
  };
}

/** What `docker update` can change: only what the request says. */
export function updatedConfig(body: JsonObject, cgroupVersion: 1 | 2): Partial<HostConfig> {
  refuseUnbuilt(body, cgroupVersion);
  for (const name of ['Ulimits', 'Devices', 'OomKillDisable']) {
    if (body.says(name)) throw unsupported(`Cannot update the container: ${name} cannot be changed after creation`);
  }
  // 0 and '' stand for what is not changed, as in Docker.
  const number = (name: string): number | undefined => body.integer(name) || undefined;
  const pids = body.integer('PidsLimit');
  return compact({
    Memory: number('Memory'),
    MemoryReservation: number('MemoryReservation'),
    MemorySwap: number('MemorySwap'),
    NanoCpus: number('NanoCpus'),
    CpuShares: number('CpuShares'),
    CpuPeriod: number('CpuPeriod'),
    CpuQuota: number('CpuQuota'),
    CpusetCpus: given(body.string('CpusetCpus')),
    PidsLimit: pids === undefined ? undefined : pids > 0 ? pids : null,
    RestartPolicy: body.object('RestartPolicy')?.says('Name') ? restartPolicy(body.object('RestartPolicy')) : undefined,
  });
}

const POLICIES = ['', 'no', 'always', 'unless-stopped', 'on-failure'] as const;

function restartPolicy(body: JsonObject | undefined): RestartPolicy {
  const text = body?.string('Name') ?? '';
  const name = POLICIES.find((policy) => policy === text);
  const count = body?.integer('MaximumRetryCount') ?? 0;
  if (name === undefined) {
    throw invalid(
      `invalid restart policy: unknown policy '${text}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  }
  return { Name: name === '' ? 'no' : name, MaximumRetryCount: count };
}

function ulimit(body: JsonObject): Ulimit {
  return { Name: body.string('Name') ?? '', Soft: body.integer('Soft') ?? 0, Hard: body.integer('Hard') ?? 0 };
}

const MOUNT_TYPES = ['bind', 'volume', 'tmpfs'] as const;

function mountRequest(body: JsonObject, version: { readonly minor: number }): MountRequest {
  const text = body.string('Type') ?? '';
  const type = MOUNT_TYPES.find((known) => known === text);
  if (type === undefined) {
    if (['image', 'npipe', 'cluster'].includes(text))
      throw unsupported(`Cannot create the container: mounts of type ${text} are not supported by Moorline`);
    throw invalid(`invalid mount config for type ${JSON.stringify(text)}: mount type unknown`);
  }
  for (const [field, owner] of [
    ['VolumeOptions', 'volume'],
    ['BindOptions', 'bind'],
    ['TmpfsOptions', 'tmpfs'],
  ] as const) {
    if (version.minor >= 42 && type !== owner && body.has(field)) {
      throw invalid(`${field} must not be specified on mount type ${JSON.stringify(type)}`);
    }
  }
  const [bind, volume, tmpfs] = [body.object('BindOptions'), body.object('VolumeOptions'), body.object('TmpfsOptions')];
  if (bind?.says('NonRecursive') || bind?.says('ReadOnlyNonRecursive') || bind?.says('ReadOnlyForceRecursive')) {
    throw unsupported('Cannot create the container: recursion options of bind mounts are not supported by Moorline');
  }
  if (volume?.says('Subpath'))
    throw unsupported('Cannot create the container: the subpath of a volume is not supported by Moorline');
  const driver = volume?.object('DriverConfig');
  if ((driver?.says('Name') && driver.string('Name') !== 'local') || driver?.says('Options')) {
    throw unsupported('Cannot create the container: drivers and driver options of volumes are not supported by Moorline');
  }
  if (tmpfs?.says('Options')) throw unsupported('Cannot create the container: TmpfsOptions.Options is not supported by Moorline');
  return compact({
    Type: type,
    Source: given(body.string('Source')),
    Target: body.string('Target') ?? '',
    ReadOnly: body.boolean('ReadOnly') || undefined,
    BindOptions:
      type === 'bind' && bind
        ? compact({
            Propagation: given(bind.string('Propagation')),
            CreateMountpoint: version.minor >= 42 ? bind.boolean('CreateMountpoint') : undefined,
          })
        : undefined,
    VolumeOptions:
      type === 'volume' && volume ? compact({ NoCopy: volume.boolean('NoCopy'), Labels: volume.stringMap('Labels') }) : undefined,
    TmpfsOptions:
      type === 'tmpfs' && tmpfs ? compact({ SizeBytes: tmpfs.integer('SizeBytes'), Mode: tmpfs.integer('Mode') }) : undefined,
  });
}
