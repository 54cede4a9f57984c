/** `docker inspect` of a container, in the order of Docker's fields. */
import type { ContainerConfig } from '../../model/container.ts';
import { stateShape } from './status.ts';
import { commandOf, exposedPorts, mountShape, type Sizes } from './summary.ts';
import type { ContainerView } from './view.ts';

/** Paths that Docker hides from a process that is not privileged, and those it makes read-only (moby oci/defaults.go). */
const MASKED = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
const READONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

export function containerInspect(view: ContainerView, sizes?: Sizes): Readonly<Record<string, unknown>> {
  const { container, sandbox, files } = view;
  const { config } = container;
  const [path = '', ...args] = commandOf(config);
  return {
    Id: container.id,
    Created: container.created,
    Path: path,
    Args: args,
    State: stateShape(container),
    Image: container.imageId,
    ResolvConfPath: files['/etc/resolv.conf'] ?? '',
    HostnamePath: files['/etc/hostname'] ?? '',
    HostsPath: files['/etc/hosts'] ?? '',
    LogPath: view.logPath,
    Name: `/${container.name}`,
    RestartCount: container.restartCount,
    Driver: 'overlay2',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: null,
    HostConfig: hostConfigShape(view),
    GraphDriver: { Data: null, Name: 'overlay2' },
    ...(sizes === undefined ? {} : { SizeRw: sizes.writable, SizeRootFs: sizes.total }),
    Mounts: container.mounts.filter(({ type }) => type !== 'tmpfs' || isMountRequest(view)).map(mountShape),
    Config: configShape(config),
    NetworkSettings: networkSettings(view, sandbox),
  };
}

/** In Docker's order, which `docker inspect` prints; what is not set is left out where Go's omitempty does so. */
function configShape(config: ContainerConfig): Readonly<Record<string, unknown>> {
  const { ExposedPorts, Healthcheck, StopSignal, StopTimeout } = config;
  return {
    Hostname: config.Hostname,
    Domainname: config.Domainname,
    User: config.User,
    AttachStdin: config.AttachStdin,
    AttachStdout: config.AttachStdout,
    AttachStderr: config.AttachStderr,
    ...(ExposedPorts === undefined ? {} : { ExposedPorts }),
    Tty: config.Tty,
    OpenStdin: config.OpenStdin,
    StdinOnce: config.StdinOnce,
    Env: config.Env,
    Cmd: config.Cmd,
    ...(Healthcheck === undefined ? {} : { Healthcheck }),
    Image: config.Image,
    Volumes: config.Volumes,
    WorkingDir: config.WorkingDir,
    Entrypoint: config.Entrypoint,
    OnBuild: null,
    Labels: config.Labels,
    ...(StopSignal === undefined ? {} : { StopSignal }),
    ...(StopTimeout === undefined || StopTimeout === null ? {} : { StopTimeout }),
  };
}

/** Docker lists a tmpfs among the mounts when it came by `--mount`, and not when by `--tmpfs`. */
const isMountRequest = ({ container }: ContainerView): boolean =>
  container.hostConfig.Mounts.some(({ Type }) => Type === 'tmpfs');

/** What was asked, with Docker's values for what Moorline does not have. */
function hostConfigShape({ container: { hostConfig } }: ContainerView): Readonly<Record<string, unknown>> {
  const { Privileged: privileged } = hostConfig;
  const orNull = <T>(list: readonly T[]): readonly T[] | null => (list.length === 0 ? null : list);
  const { Tmpfs, Sysctls, Mounts, Init, ...rest } = hostConfig;
  return {
    ...rest,
    Binds: orNull(hostConfig.Binds),
    ContainerIDFile: '',
    VolumeDriver: '',
    VolumesFrom: null,
    ConsoleSize: [0, 0],
    CapAdd: orNull(hostConfig.CapAdd),
    CapDrop: orNull(hostConfig.CapDrop),
    CgroupnsMode: 'host',
    ExtraHosts: orNull(hostConfig.ExtraHosts),
    GroupAdd: orNull(hostConfig.GroupAdd),
    Cgroup: '',
    Links: orNull(hostConfig.Links),
    PublishAllPorts: false,
    SecurityOpt: orNull(hostConfig.SecurityOpt),
    ...(Object.keys(Tmpfs).length === 0 ? {} : { Tmpfs }),
    UsernsMode: '',
    ...(Object.keys(Sysctls).length === 0 ? {} : { Sysctls }),
    Runtime: 'runc',
    Isolation: '',
    CgroupParent: '',
    BlkioWeight: 0,
    BlkioWeightDevice: null,
    BlkioDeviceReadBps: null,
    BlkioDeviceWriteBps: null,
    BlkioDeviceReadIOps: null,
    BlkioDeviceWriteIOps: null,
    CpuRealtimePeriod: 0,
    CpuRealtimeRuntime: 0,
    CpusetMems: '',
    DeviceCgroupRules: null,
    DeviceRequests: null,
    MemorySwappiness: null,
    ...(Mounts.length === 0 ? {} : { Mounts }),
    Ulimits: orNull(hostConfig.Ulimits),
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
    MaskedPaths: privileged ? null : MASKED,
    ReadonlyPaths: privileged ? null : READONLY,
    ...(Init ? { Init } : {}),
  };
}

function networkSettings(view: ContainerView, sandbox: ContainerView['sandbox']): Readonly<Record<string, unknown>> {
  // Older clients read the default network's endpoint at the top level.
  const legacy = view.networks['bridge'] ?? {};
  return {
    Bridge: '',
    SandboxID: sandbox?.id ?? '',
    SandboxKey: sandbox === null || sandbox.netns.type === 'host' ? '' : sandbox.netns.path,
    Ports: Object.fromEntries(exposedPorts(view).map((port) => [port, null])),
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: legacy['EndpointID'] ?? '',
    Gateway: legacy['Gateway'] ?? '',
    GlobalIPv6Address: legacy['GlobalIPv6Address'] ?? '',
    GlobalIPv6PrefixLen: legacy['GlobalIPv6PrefixLen'] ?? 0,
    IPAddress: legacy['IPAddress'] ?? '',
    IPPrefixLen: legacy['IPPrefixLen'] ?? 0,
    IPv6Gateway: legacy['IPv6Gateway'] ?? '',
    MacAddress: legacy['MacAddress'] ?? '',
    Networks: view.networks,
  };
}
