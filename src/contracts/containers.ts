/** Containers: images, the runtime under them, and the service that the doors call. */
import type { Readable, Writable } from 'node:stream';
import type { Id } from '../base/ids.ts';
import type { Container, ContainerConfig, HostConfig, Image, MountPoint, Volume } from '../model/container.ts';
import type { EndpointSpec, ProcessRef } from '../model/sandbox.ts';
import type { SandboxOperations } from './engine.ts';

/** One line of progress, in the shape of Docker's JSON messages. */
export interface Progress {
  readonly status: string;
  readonly id?: string;
  readonly current?: number;
  readonly total?: number;
}

export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
  readonly identityToken?: string;
}

/** Images and their layers on disk. Everything it takes in is hostile until its digest and its tar entries are checked. */
export interface Images {
  readonly list: () => readonly Image[];
  /** By id, id prefix, `name[:tag]`, `name@digest`. @throws not-found `No such image: x` */
  readonly get: (reference: string) => Image;
  /** A `docker save` or OCI archive, plain or gzip. @returns references (or ids) loaded. Nothing is kept of a bad archive. */
  readonly load: (
    archive: Readable,
    options: { readonly progress: (line: Progress) => void; readonly signal: AbortSignal },
  ) => Promise<readonly string[]>;
  /** One `docker save` archive with all of these. */
  readonly save: (references: readonly string[]) => Promise<Readable>;
  /** A root file system as an image of one layer; `changes` are Dockerfile words (CMD, ENV, ...). @returns the id. */
  readonly import: (
    tar: Readable,
    options: {
      readonly reference?: string;
      readonly message?: string;
      readonly changes?: readonly string[];
      readonly signal: AbortSignal;
    },
  ) => Promise<string>;
  readonly pull: (
    reference: string,
    options: {
      readonly auth?: RegistryAuth;
      readonly platform?: string;
      readonly progress: (line: Progress) => void;
      readonly signal: AbortSignal;
    },
  ) => Promise<Image>;
  readonly tag: (reference: string, target: string) => Promise<void>;
  /** @throws conflict when a container uses it (`inUse` says so) and neither force nor another tag remains. */
  readonly remove: (
    reference: string,
    options: {
      readonly force: boolean;
      readonly noPrune: boolean;
      readonly inUse: (imageId: string) => string | null;
      /** A running container: it keeps the image against force, too. */
      readonly running?: (imageId: string) => string | null;
    },
  ) => Promise<readonly { readonly untagged?: string; readonly deleted?: string }[]>;
  readonly prune: (options: {
    readonly all: boolean;
    readonly accepts: (image: Image) => boolean;
    readonly inUse: (imageId: string) => string | null;
  }) => Promise<{
    readonly deleted: readonly { readonly untagged?: string; readonly deleted?: string }[];
    readonly reclaimed: number;
  }>;
  /**
   * Directories of the unpacked layers, top first, ready as overlayfs `lowerdir`. They stay as long as the image does, and `remove` and
   * `prune` leave an image that is `inUse` alone, whatever the force. @throws unavailable when one is missing on disk
   */
  readonly lower: (imageId: string) => readonly string[];
}

/** A container's root: overlayfs over an image's layers. Paths inside it are resolved without ever leaving it (symlinks, `..`). */
export interface RootFiles {
  /** Makes the writable layer. Idempotent. */
  readonly create: (container: Id, lower: readonly string[]) => Promise<void>;
  /** @returns the mounted root. Idempotent. */
  readonly mount: (container: Id, lower: readonly string[]) => Promise<string>;
  readonly unmount: (container: Id) => Promise<void>;
  /** Unmounts and removes the writable layer. Idempotent. */
  readonly remove: (container: Id) => Promise<void>;
  /** bytes in the writable layer */
  readonly size: (container: Id) => Promise<number>;
  /** Docker's archive calls: a tar of one path; stat of it; unpacking into it. `root` is a mounted root. */
  readonly read: (root: string, path: string) => Promise<{ readonly stat: PathStat; readonly tar: Readable }>;
  readonly stat: (root: string, path: string) => Promise<PathStat>;
  /** A tar of the whole root, as Docker's export has it. */
  readonly export: (root: string) => Promise<Readable>;
  readonly write: (
    root: string,
    path: string,
    options: { readonly tar: Readable; readonly noOverwriteDirNonDir: boolean; readonly signal: AbortSignal },
  ) => Promise<void>;
  /** Docker's `/changes`: kind 0 modified, 1 added, 2 deleted. */
  readonly changes: (
    container: Id,
    lower: readonly string[],
  ) => Promise<readonly { readonly Path: string; readonly Kind: 0 | 1 | 2 }[]>;
}

export interface PathStat {
  readonly name: string;
  readonly size: number;
  /** Go's fs.FileMode bits, as Docker sends them. */
  readonly mode: number;
  readonly mtime: string;
  readonly linkTarget: string;
}

/** What the runtime needs to start a process: everything resolved. */
export interface StartRequest {
  readonly container: Container;
  readonly image: Image;
  readonly root: string;
  /** Pin of the network namespace; null = the host's. */
  readonly netns: string | null;
  readonly hostname: string;
  /** Files bind-mounted over the root's: target -> host path (hosts, resolv.conf, hostname). */
  readonly files: Readonly<Record<string, string>>;
  readonly mounts: readonly MountPoint[];
  /** Namespaces shared with another container (`--pid container:x`, `--ipc`): kind -> /proc path. */
  readonly shared: Readonly<Record<'pid' | 'ipc', string | null>>;
}

export interface ExecRequest {
  readonly id: Id;
  readonly container: Container;
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly user: string;
  readonly workingDir: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly privileged: boolean;
  /** Docker's notation, `ctrl-p,ctrl-q`; '' or absent: the default. For who connects to it. */
  readonly detachKeys?: string;
}

/** A live connection to a process's streams. With a terminal everything is on `stdout`. */
export interface Streams {
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly close: () => void;
}

export interface ExitStatus {
  readonly code: number;
  readonly oomKilled: boolean;
  readonly finishedAt: string;
}

/** conmon and an OCI runtime. The monitor outlives the daemon: everything here can be taken up again after a restart. */
export interface Runtime {
  /** Which programs were found, and which runtime works here. @throws unavailable naming what to install. */
  readonly probe: () => Promise<{ readonly runtime: string; readonly version: string; readonly monitor: string }>;
  /** Makes the container's processes up to (not including) its command; `start` lets it go. Attach between the two loses nothing. */
  readonly create: (request: StartRequest) => Promise<ProcessRef>;
  readonly start: (container: Id) => Promise<void>;
  /** Resolves when the first process has ended, also when that was before this daemon's start. */
  readonly exited: (container: Id, signal: AbortSignal) => Promise<ExitStatus>;
  readonly kill: (container: Id, signal: number) => Promise<void>;
  readonly pause: (container: Id) => Promise<void>;
  readonly resume: (container: Id) => Promise<void>;
  readonly update: (container: Id, limits: Partial<HostConfig>) => Promise<void>;
  /** Removes what the runtime keeps of a container that has ended (or never started). Idempotent. */
  readonly remove: (container: Id) => Promise<void>;
  readonly attach: (container: Id, exec?: Id) => Promise<Streams>;
  readonly resize: (container: Id, size: { readonly rows: number; readonly columns: number }, exec?: Id) => Promise<void>;
  /** Starts another process; attach with its id. */
  readonly exec: (request: ExecRequest) => Promise<ProcessRef>;
  readonly execExited: (container: Id, exec: Id, signal: AbortSignal) => Promise<ExitStatus>;
  /** Removes what is kept of an exec that has ended; who is attached still gets all of its output. Idempotent. */
  readonly removeExec: (container: Id, exec: Id) => Promise<void>;
  /** cgroup counters in the shape of Docker's stats (without networks). */
  readonly stats: (container: Id) => Promise<Readonly<Record<string, unknown>>>;
  /** Host pids in the container. */
  readonly processes: (container: Id) => Promise<readonly number[]>;
  /** Ids that the runtime knows, for a sweep. */
  readonly known: () => Promise<readonly Id[]>;
  /** File that the monitor writes output to. */
  readonly logPath: (container: Id) => string;
}

/** One line (or part of one) of a container's output. */
export interface LogEntry {
  readonly stream: 'stdout' | 'stderr';
  /** RFC 3339 with nanoseconds */
  readonly time: string;
  readonly data: Uint8Array;
}

export interface LogQuery {
  readonly follow: boolean;
  readonly tail: number | 'all';
  /** RFC 3339 or null */
  readonly since: string | null;
  readonly until: string | null;
}

export interface ContainerSpec {
  readonly name?: string;
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  readonly networks: readonly { readonly network: string; readonly endpoint: EndpointSpec }[];
  readonly platform?: string;
}

export interface ExecState {
  readonly request: ExecRequest;
  readonly running: boolean;
  readonly exitCode: number | null;
  readonly pid: number;
}

/** What the doors may ask. References: full id, name (with or without slash), unambiguous id prefix. */
export interface Containers extends AsyncDisposable {
  readonly list: () => readonly Container[];
  /** @throws not-found `No such container: x` */
  readonly get: (reference: string) => Container;
  readonly create: (spec: ContainerSpec) => Promise<{ readonly container: Container; readonly warnings: readonly string[] }>;
  /** @returns false when it was running already. */
  readonly start: (reference: string) => Promise<boolean>;
  /** @param timeout seconds before SIGKILL; null: the container's own, else 10. @returns false when it was not running. */
  readonly stop: (reference: string, options: { readonly timeout: number | null; readonly signal?: string }) => Promise<boolean>;
  readonly restart: (reference: string, options: { readonly timeout: number | null; readonly signal?: string }) => Promise<void>;
  readonly kill: (reference: string, signal: string) => Promise<void>;
  readonly pause: (reference: string) => Promise<void>;
  readonly unpause: (reference: string) => Promise<void>;
  readonly rename: (reference: string, name: string) => Promise<void>;
  readonly update: (reference: string, changes: Partial<HostConfig>) => Promise<readonly string[]>;
  readonly remove: (reference: string, options: { readonly force: boolean; readonly volumes: boolean }) => Promise<void>;
  readonly prune: (
    accepts: (container: Container) => boolean,
  ) => Promise<{ readonly ids: readonly Id[]; readonly reclaimed: number }>;
  readonly wait: (
    reference: string,
    condition: 'not-running' | 'next-exit' | 'removed',
    signal: AbortSignal,
  ) => Promise<ExitStatus>;
  readonly logs: (reference: string, query: LogQuery, signal: AbortSignal) => AsyncIterable<LogEntry>;
  readonly attach: (reference: string) => Promise<Streams>;
  /** Where what it writes is kept. */
  readonly logPath: (reference: string) => string;
  readonly resize: (reference: string, size: { readonly rows: number; readonly columns: number }) => Promise<void>;
  readonly top: (
    reference: string,
    psArguments: readonly string[],
  ) => Promise<{ readonly titles: readonly string[]; readonly processes: readonly (readonly string[])[] }>;
  readonly stats: (reference: string) => Promise<Readonly<Record<string, unknown>>>;
  readonly execCreate: (reference: string, request: Omit<ExecRequest, 'id' | 'container'>) => Promise<Id>;
  readonly execGet: (id: string) => ExecState;
  /**
   * @param admitted called when nothing stands against it any more, right before it is started: a client that is answered then does not
   * find output in one packet with the answer. @returns streams that end when the exit code is known
   */
  readonly execStart: (id: string, admitted?: () => void) => Promise<Streams>;
  readonly execResize: (id: string, size: { readonly rows: number; readonly columns: number }) => Promise<void>;
  /** Live or, for a stopped container, in its record; Docker's connect and disconnect. */
  readonly connect: (network: string, reference: string, endpoint: EndpointSpec) => Promise<void>;
  readonly disconnect: (network: string, reference: string, options: { readonly force: boolean }) => Promise<void>;
  /** More published ports: at once for one that runs, and at every later start. As the engine's for sandboxes. */
  readonly publish: SandboxOperations['publish'];
  readonly unpublish: SandboxOperations['unpublish'];
  /** The mounted root of a container, for archive calls; call `done` after. */
  readonly root: (reference: string) => Promise<{ readonly root: string; readonly done: () => Promise<void> }>;
  readonly volumes: {
    readonly list: () => readonly Volume[];
    readonly get: (name: string) => Volume;
    readonly create: (spec: {
      readonly name?: string;
      readonly labels?: Readonly<Record<string, string>>;
      readonly options?: Readonly<Record<string, string>>;
    }) => Promise<Volume>;
    readonly remove: (name: string, options: { readonly force: boolean }) => Promise<void>;
    /** bytes; -1 when they cannot be counted */
    readonly size: (name: string) => Promise<number>;
    readonly prune: (
      accepts: (volume: Volume) => boolean,
    ) => Promise<{ readonly names: readonly string[]; readonly reclaimed: number }>;
  };
}
