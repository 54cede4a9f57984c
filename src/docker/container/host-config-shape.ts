/** Docker's `HostConfig` of an inspection: what was asked, in Docker's order, with its values for what Moorline does not have. */
import type { HostConfig } from '../../model/container.ts';
import { MASKED_PATHS, READ_ONLY_PATHS } from '../../model/container-defaults.ts';
import { cgroupNamespace } from './unbuilt.ts';

/** Go prints an empty list that nobody gave as null. */
const orNull = <T>(list: readonly T[]): readonly T[] | null => (list.length === 0 ? null : list);

export function hostConfigShape(host: HostConfig, cgroupVersion: 1 | 2): Readonly<Record<string, unknown>> {
  return {
    Binds: orNull(host.Binds),
    ContainerIDFile: '',
    LogConfig: host.LogConfig,
    NetworkMode: host.NetworkMode,
    PortBindings: host.PortBindings,
    RestartPolicy: host.RestartPolicy,
    AutoRemove: host.AutoRemove,
    VolumeDriver: '',
    VolumesFrom: null,
    ConsoleSize: [0, 0],
    CapAdd: orNull(host.CapAdd),
    CapDrop: orNull(host.CapDrop),
    CgroupnsMode: cgroupNamespace(host, cgroupVersion),
    Dns: host.Dns,
    DnsOptions: host.DnsOptions,
    DnsSearch: host.DnsSearch,
    ExtraHosts: orNull(host.ExtraHosts),
    GroupAdd: orNull(host.GroupAdd),
    IpcMode: host.IpcMode,
    Cgroup: '',
    Links: orNull(host.Links),
    OomScoreAdj: host.OomScoreAdj,
    PidMode: host.PidMode,
    Privileged: host.Privileged,
    PublishAllPorts: host.PublishAllPorts ?? false,
    ReadonlyRootfs: host.ReadonlyRootfs,
    SecurityOpt: orNull(host.SecurityOpt),
    ...(Object.keys(host.Tmpfs).length === 0 ? {} : { Tmpfs: host.Tmpfs }),
    UTSMode: host.UTSMode,
    UsernsMode: '',
    ShmSize: host.ShmSize,
    ...(Object.keys(host.Sysctls).length === 0 ? {} : { Sysctls: host.Sysctls }),
    Runtime: 'runc',
    Isolation: '',
    ...resources(host),
    ...(host.Mounts.length === 0 ? {} : { Mounts: host.Mounts }),
    MaskedPaths: host.Privileged ? null : MASKED_PATHS,
    ReadonlyPaths: host.Privileged ? null : READ_ONLY_PATHS,
    ...(host.Init ? { Init: true } : {}),
  };
}

function resources(host: HostConfig): Readonly<Record<string, unknown>> {
  return {
    CpuShares: host.CpuShares,
    Memory: host.Memory,
    NanoCpus: host.NanoCpus,
    CgroupParent: '',
    BlkioWeight: 0,
    BlkioWeightDevice: [],
    BlkioDeviceReadBps: [],
    BlkioDeviceWriteBps: [],
    BlkioDeviceReadIOps: [],
    BlkioDeviceWriteIOps: [],
    CpuPeriod: host.CpuPeriod,
    CpuQuota: host.CpuQuota,
    CpuRealtimePeriod: 0,
    CpuRealtimeRuntime: 0,
    CpusetCpus: host.CpusetCpus,
    CpusetMems: '',
    Devices: host.Devices,
    DeviceCgroupRules: null,
    DeviceRequests: null,
    MemoryReservation: host.MemoryReservation,
    MemorySwap: host.MemorySwap,
    MemorySwappiness: null,
    OomKillDisable: host.OomKillDisable,
    PidsLimit: host.PidsLimit,
    Ulimits: host.Ulimits,
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
  };
}
