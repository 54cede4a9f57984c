/** What the doors (Docker's API, our own, later the plugin and CNI) may ask of the engine. */
import type { Id } from '../base/ids.ts';
import type { IpAddress, Prefix } from '../base/ip.ts';
import type { Network, NetworkSpec } from '../model/network.ts';
import type { PathReport, Peer, RemoteEndpoint } from '../model/node.ts';
import type { PortBinding, PortSpec } from '../model/ports.ts';
import type { Endpoint, EndpointSpec, ProcessRef, Sandbox, SandboxSpec } from '../model/sandbox.ts';
import type { Plan } from './change.ts';
import type { ClusterStatus } from './cluster.ts';
import type { PoolUse } from './ipam.ts';
import type { Feature, HostFacts } from './kernel.ts';
import type { ResolverStatus } from './resolver.ts';
import type { PeerCounts, TunnelStatus } from './tunnel.ts';

/** Every operation that changes something takes these. */
export interface OperationOptions {
  /** Compute and check everything, change nothing: the outcome's `plan` says what would be done, its `value` what would be stored. */
  readonly dryRun?: boolean;
}

/** What was done (or would be), and the result. */
export interface Outcome<T> {
  readonly value: T;
  readonly plan: Plan;
  readonly warnings: readonly string[];
}

/** Docker's event words. */
export interface EngineEvent {
  readonly type: 'network' | 'container' | 'image' | 'volume' | 'daemon';
  /** `create`, `die`, `exec_start: sh -c true`, `health_status: healthy`, ... */
  readonly action: string;
  readonly actorId: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** milliseconds since the Unix epoch */
  readonly time: number;
}

/** An endpoint beside the sandbox it belongs to, as network inspect needs it. */
export interface Attachment {
  readonly endpoint: Endpoint;
  readonly sandbox: Sandbox;
}

export interface PruneResult {
  readonly networks: readonly string[];
}

/** Which unused networks to prune; `until` in milliseconds since the epoch: made before that. */
export interface PruneFilter {
  readonly until?: number;
  readonly accepts?: (network: Network) => boolean;
}

/** Another host's part of a network, and whether it is reached. */
export interface PeerView extends Peer {
  /** Why it, or a part of it, is not reached; '' when all of it is. */
  readonly trouble: string;
  /** Of a user-space tunnel. */
  readonly counts?: PeerCounts;
}

/** A network that spans hosts, as this host has it. */
export interface SpanningView {
  readonly id: Id;
  readonly name: string;
  /** As it was asked for; '' for the driver's default. */
  readonly backend: string;
  /** This host's. */
  readonly subnets: readonly Prefix[];
  /** Of sandboxes, bytes; null: the underlay's. */
  readonly mtu: number | null;
  readonly peers: readonly PeerView[];
  /** `error`: why it does not carry anything; '' when it does. */
  readonly tunnel?: {
    readonly error: string;
    readonly drops: TunnelStatus['drops'];
    readonly fastPath?: TunnelStatus['fastPath'];
  };
}

export interface ClusterView extends ClusterStatus {
  /** What is known of the ways to other hosts, by their addresses on the underlay. */
  readonly paths: Readonly<Record<IpAddress, PathReport>>;
  /** `made`: those of packets inside of VXLAN are made by the kernel, as they arrived wrong when they were left to a network card. */
  readonly checksums: 'left' | 'made';
  readonly networks: readonly SpanningView[];
}

export interface EngineStatus {
  readonly networks: number;
  readonly sandboxes: number;
  readonly endpoints: number;
  readonly pools: readonly PoolUse[];
  readonly features: readonly Feature[];
  readonly facts: HostFacts;
  /** Things an administrator should know: a foreign chain that drops what we forward, a limit nearly reached. */
  readonly warnings: readonly string[];
  /** Repairs since the start: what came back, and why. */
  readonly repairs: readonly { readonly time: number; readonly what: string; readonly why: string }[];
  /** The name service, since the start. */
  readonly names: ResolverStatus;
  /** Absent: this host is in none. */
  readonly cluster?: ClusterView;
}

export interface NetworkOperations {
  readonly list: () => readonly Network[];
  /**
   * By full id, then name, then unambiguous id prefix, as Docker.
   * @throws not-found `network x not found`; invalid when a prefix is ambiguous.
   */
  readonly get: (reference: string) => Network;
  readonly attachments: (network: Id) => readonly Attachment[];
  /** Other hosts that have a part of it; none for a network of this host alone. */
  readonly peers: (network: Id) => readonly Peer[];
  /** Endpoints that other hosts have on it, whether this one has any or not; none for a network of this host alone. */
  readonly remotes: (network: Id) => Promise<readonly RemoteEndpoint[]>;
  readonly create: (spec: NetworkSpec, options?: OperationOptions) => Promise<Outcome<Network>>;
  /** @throws forbidden for predefined networks; conflict... Docker answers 403 with `network x has active endpoints`: forbidden. */
  readonly remove: (reference: string, options?: OperationOptions) => Promise<Outcome<Network>>;
  readonly prune: (filter: PruneFilter, options?: OperationOptions) => Promise<Outcome<PruneResult>>;
  readonly connect: (
    network: string,
    attachment: { readonly sandbox: string; readonly endpoint: EndpointSpec },
    options?: OperationOptions,
  ) => Promise<Outcome<Endpoint>>;
  /** @param sandbox with `force`, also one whose namespace is gone. */
  readonly disconnect: (
    network: string,
    sandbox: string,
    options?: OperationOptions & { readonly force?: boolean },
  ) => Promise<Outcome<Endpoint>>;
}

export interface RemoveSandboxOptions extends OperationOptions {
  /** Kills its main process. */
  readonly force?: boolean;
  /** Said by the service of containers, for sandboxes of its own. */
  readonly managed?: boolean;
}

/** What a sandbox, or a container, publishes. */
export interface PublishedPorts {
  readonly sandbox: { readonly id: Id; readonly name: string };
  /** As it was asked for. */
  readonly publish: readonly PortSpec[];
  /** As it was decided; none while it does not run. */
  readonly ports: readonly PortBinding[];
}

export interface SandboxOperations {
  readonly list: () => readonly Sandbox[];
  /** By full id, name, or unambiguous id prefix. @throws not-found `No such container: x` */
  readonly get: (reference: string) => Sandbox;
  readonly create: (spec: SandboxSpec, options?: OperationOptions) => Promise<Outcome<Sandbox>>;
  /** @throws conflict when its main process runs and `force` is not set. With `force` the process is killed. */
  readonly remove: (reference: string, options?: RemoveSandboxOptions) => Promise<Outcome<Sandbox>>;
  /** Everything about a specification that can be said without reserving anything. @throws as `create` */
  readonly check: (spec: SandboxSpec) => void;
  /**
   * Holds a name for a container that has no sandbox yet; `create` with this id may use it.
   * @param name null: make one up. @throws conflict with Docker's text.
   */
  readonly reserveName: (name: string | null, id: Id) => { readonly name: string; readonly release: () => void };
  /** The new name must have been reserved for its id. */
  readonly rename: (reference: string, name: string) => Promise<Sandbox>;
  /** Tells which process is the main one, so that its end is noticed (also one that ended while the daemon was down). */
  readonly setProcess: (reference: string, process: ProcessRef) => Promise<Sandbox>;
  /**
   * Publishes more ports of a sandbox that exists. Nothing of it is interrupted.
   * @throws invalid, conflict (names who has a port), exhausted, unavailable (the host does not have the address)
   */
  readonly publish: (
    reference: string,
    specs: readonly PortSpec[],
    options?: OperationOptions,
  ) => Promise<Outcome<PublishedPorts>>;
  /** @param specs `80/tcp` stands for every host port that leads there. @throws not-found when one of them selects nothing */
  readonly unpublish: (
    reference: string,
    specs: readonly PortSpec[],
    options?: OperationOptions,
  ) => Promise<Outcome<PublishedPorts>>;
  /** Files mounted over /etc in the sandbox: host path by target path. */
  readonly files: (reference: string) => Readonly<Record<string, string>>;
}

export interface Engine extends AsyncDisposable {
  readonly networks: NetworkOperations;
  readonly sandboxes: SandboxOperations;
  readonly status: () => Promise<EngineStatus>;
  /** Compares everything with the kernel now and repairs. @returns what was repaired. */
  readonly reconcile: () => Promise<readonly string[]>;
  /** What `reconcile` would do, as far as it can be told without writing: files, and settings inside sandboxes, are left out. */
  readonly drift: () => Promise<Plan>;
  /** Removes every sandbox, network, rule, namespace and file of this instance. Its host leaves the cluster. */
  readonly reset: (options?: OperationOptions) => Promise<Outcome<null>>;
  /** Tells subscribers of something that happened beside the engine: containers, images, volumes. */
  readonly publish: (event: EngineEvent) => void;
  /** @param since replay kept events from this time (ms). @returns a function that ends the subscription. */
  readonly subscribe: (listener: (event: EngineEvent) => void, since?: number) => () => void;
}
