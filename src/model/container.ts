/**
 * A container: what Docker calls one. The words of its configuration are Docker's (Engine API, ContainerConfig and HostConfig), stored as
 * they were given so that inspect shows what was asked; what they mean is decided once, when the OCI specification is made.
 * Only fields that Moorline acts on are named; a field that it does not know is refused or kept by the door, never here.
 */
import type { Id } from '../base/ids.ts';
import type { EndpointSpec, ProcessRef } from './sandbox.ts';

/** Docker's health check; durations in nanoseconds, 0 = inherit. */
export interface HealthConfig {
  readonly Test?: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

export interface ContainerConfig {
  readonly Hostname: string;
  readonly Domainname: string;
  readonly User: string;
  readonly AttachStdin: boolean;
  readonly AttachStdout: boolean;
  readonly AttachStderr: boolean;
  readonly Tty: boolean;
  readonly OpenStdin: boolean;
  readonly StdinOnce: boolean;
  readonly Env: readonly string[];
  readonly Cmd: readonly string[] | null;
  readonly Entrypoint: readonly string[] | null;
  readonly Image: string;
  readonly WorkingDir: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Volumes: Readonly<Record<string, object>> | null;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly StopSignal?: string;
  /** seconds */
  readonly StopTimeout?: number | null;
  readonly Healthcheck?: HealthConfig;
}

export interface RestartPolicy {
  readonly Name: '' | 'no' | 'always' | 'unless-stopped' | 'on-failure';
  readonly MaximumRetryCount: number;
}

export interface MountRequest {
  readonly Type: 'bind' | 'volume' | 'tmpfs';
  readonly Source?: string;
  readonly Target: string;
  readonly ReadOnly?: boolean;
  readonly BindOptions?: { readonly Propagation?: string; readonly CreateMountpoint?: boolean };
  readonly VolumeOptions?: { readonly NoCopy?: boolean; readonly Labels?: Readonly<Record<string, string>> };
  readonly TmpfsOptions?: { readonly SizeBytes?: number; readonly Mode?: number };
}

export interface Ulimit {
  readonly Name: string;
  readonly Soft: number;
  readonly Hard: number;
}

export interface HostConfig {
  readonly Binds: readonly string[];
  readonly Mounts: readonly MountRequest[];
  readonly Tmpfs: Readonly<Record<string, string>>;
  /** `default`, `bridge`, `none`, `host`, a network, or `container:<name|id>` */
  readonly NetworkMode: string;
  readonly PortBindings: Readonly<Record<string, readonly { readonly HostIp: string; readonly HostPort: string }[]>>;
  /** Every exposed port on some free port of the host. */
  readonly PublishAllPorts?: boolean;
  readonly RestartPolicy: RestartPolicy;
  readonly AutoRemove: boolean;
  readonly Privileged: boolean;
  readonly ReadonlyRootfs: boolean;
  readonly CapAdd: readonly string[];
  readonly CapDrop: readonly string[];
  readonly SecurityOpt: readonly string[];
  readonly Sysctls: Readonly<Record<string, string>>;
  readonly Dns: readonly string[];
  readonly DnsOptions: readonly string[];
  readonly DnsSearch: readonly string[];
  readonly ExtraHosts: readonly string[];
  readonly Links: readonly string[];
  readonly Memory: number;
  readonly MemoryReservation: number;
  readonly MemorySwap: number;
  readonly NanoCpus: number;
  readonly CpuShares: number;
  readonly CpuPeriod: number;
  readonly CpuQuota: number;
  readonly CpusetCpus: string;
  readonly PidsLimit: number | null;
  readonly OomKillDisable: boolean;
  readonly OomScoreAdj: number;
  readonly ShmSize: number;
  readonly Ulimits: readonly Ulimit[];
  readonly Init: boolean;
  readonly PidMode: string;
  readonly IpcMode: string;
  readonly UTSMode: string;
  readonly GroupAdd: readonly string[];
  readonly Devices: readonly {
    readonly PathOnHost: string;
    readonly PathInContainer: string;
    readonly CgroupPermissions: string;
  }[];
  readonly LogConfig: { readonly Type: string; readonly Config: Readonly<Record<string, string>> };
}

export type ContainerStatus = 'created' | 'running' | 'paused' | 'restarting' | 'exited' | 'dead' | 'removing';

export interface HealthState {
  readonly status: 'starting' | 'healthy' | 'unhealthy';
  readonly failingStreak: number;
  readonly log: readonly { readonly start: string; readonly end: string; readonly exitCode: number; readonly output: string }[];
}

export interface ContainerState {
  readonly status: ContainerStatus;
  /** The container's first process; null unless running or paused. */
  readonly process: ProcessRef | null;
  readonly exitCode: number;
  readonly error: string;
  readonly oomKilled: boolean;
  /** ISO 8601; Docker's zero time when it never was. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly health: HealthState | null;
}

/** A mount as it was resolved at creation. */
export interface MountPoint {
  readonly type: 'bind' | 'volume' | 'tmpfs';
  readonly name?: string;
  readonly source: string;
  readonly destination: string;
  readonly readOnly: boolean;
  readonly mode: string;
  readonly propagation: string;
  /** Copy what the image has there into the new volume, at creation. */
  readonly copy: boolean;
}

export interface Container {
  /** Also the id of its sandbox while it runs with a stack of its own. */
  readonly id: Id;
  /** Without the slash. */
  readonly name: string;
  readonly created: string;
  /** `sha256:…` */
  readonly imageId: string;
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  /** Networks to attach to at start, by name or id, in order. Live attachments are the sandbox's endpoints. */
  readonly networks: readonly { readonly network: string; readonly endpoint: EndpointSpec }[];
  readonly mounts: readonly MountPoint[];
  readonly state: ContainerState;
  readonly restartCount: number;
  /** The user stopped it: `unless-stopped` and `always` differ by this at a daemon's start. */
  readonly stoppedByUser: boolean;
}

export interface Volume {
  readonly name: string;
  readonly created: string;
  readonly mountpoint: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
  /** Made for one container without a name given. */
  readonly anonymous: boolean;
}

/** The part of an image's configuration that containers inherit, and what image inspect shows. */
export interface Image {
  /** `sha256:` and the digest of the configuration JSON. */
  readonly id: string;
  /** `name:tag` references, normalised as Docker shows them. */
  readonly tags: readonly string[];
  /** `name@sha256:…` of manifests it was pulled by. */
  readonly digests: readonly string[];
  readonly created: string;
  readonly architecture: string;
  readonly os: string;
  readonly author: string;
  readonly comment: string;
  /** bytes, all layers unpacked */
  readonly size: number;
  /** bytes of each layer unpacked, base first: what history shows beside the entries that are not `empty_layer` */
  readonly layerSizes?: readonly number[];
  /** Uncompressed digests of the layers, base first (rootfs.diff_ids). */
  readonly layers: readonly string[];
  readonly history: readonly {
    readonly created?: string;
    readonly created_by?: string;
    readonly comment?: string;
    readonly empty_layer?: boolean;
  }[];
  readonly config: Partial<ContainerConfig>;
}
