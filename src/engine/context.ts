/** What the parts of the engine share. */
import type { Clock, Logger } from '../base/clock.ts';
import { notFound } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { IpAddress } from '../base/ip.ts';
import type { KeyedLock } from '../base/keyed-lock.ts';
import { shown } from '../base/shown.ts';
import type { Cluster } from '../contracts/cluster.ts';
import type { NetworkDriver } from '../contracts/driver.ts';
import type { HostFacts, Kernel } from '../contracts/kernel.ts';
import type { IpamDriver } from '../contracts/ipam.ts';
import type { Paths } from '../contracts/paths.ts';
import type { Processes } from '../contracts/process.ts';
import type { Resolver } from '../contracts/resolver.ts';
import type { Store } from '../contracts/store.ts';
import type { Tunnels } from '../contracts/tunnel.ts';
import type { Instance } from '../model/instance.ts';
import type { Network } from '../model/network.ts';
import type { Peer, RemoteEndpoint, Underlay } from '../model/node.ts';
import type { SandboxDns } from '../model/sandbox.ts';
import type { EventBus } from './events.ts';
import type { Executor } from './executor.ts';
import type { FactsCache } from './facts.ts';
import type { PortTable } from './port-table.ts';
import type { SharedLock } from './locks.ts';
import type { UnreadableRow } from './records.ts';
import type { Registry } from './registry.ts';

export interface DefaultBridge {
  /** Name of the device of the network `bridge`: `moor0`. */
  readonly name: string;
  /** Address of the bridge with its prefix length, as `--bip`: `192.168.1.1/24`. */
  readonly bip?: string;
  /** `--fixed-cidr`: dynamic addresses come out of this. */
  readonly fixedCidr?: string;
  readonly bipV6?: string;
  readonly fixedCidrV6?: string;
  readonly options: Readonly<Record<string, string>>;
  readonly ipv6: boolean;
}

/** Milliseconds. */
export interface EngineTimes {
  /** Kernel events that come in a burst are looked at together; short, because flushed rules must be back within 100 ms. */
  readonly settle: number;
  /** Everything is compared with the kernel this often, whatever the notifications said. */
  readonly sweep: number;
  /** Published ports that could not be held at the start are tried again after this. Absent: 10 s. */
  readonly ports?: number;
}

export interface EngineConfig {
  readonly instance: Instance;
  readonly defaultBridge: DefaultBridge;
  /** `--default-network-opt`: options by driver, for networks that do not set them. */
  readonly defaultNetworkOptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** `--dns`, `--dns-search`, `--dns-opt`: for sandboxes that do not say. */
  readonly dns?: SandboxDns;
  /** `--ip`: host address of published ports that name none, on networks that set none either. Absent: every address. */
  readonly hostAddress?: IpAddress;
  /** Remove everything of this instance before starting. */
  readonly resetOnStart?: boolean;
  readonly times?: Partial<EngineTimes>;
}

export interface EngineDeps {
  readonly config: EngineConfig;
  readonly kernel: Kernel;
  readonly store: Store;
  readonly ipam: readonly IpamDriver[];
  readonly drivers: readonly NetworkDriver[];
  /** Absent: this host is in no cluster, and has no networks that span hosts. The caller's to close, after the engine. */
  readonly cluster?: Cluster;
  /** Where this host meets the others of its cluster, as it is now. Goes with `cluster`. */
  readonly underlay?: () => Promise<Underlay>;
  /** Looks at the ways to other hosts. Goes with `cluster`; the caller's to close, after the engine. */
  readonly paths?: Paths;
  /** User-space tunnels of networks. They outlive the engine, which lets go of them when it is closed. */
  readonly tunnels?: Tunnels;
  readonly processes: Processes;
  /** Names in sandboxes. The caller's to close, after the engine. */
  readonly resolver: Resolver;
  /** Tells when the host's resolv.conf may have changed. Absent: it is looked at from time to time. */
  readonly watchResolvConf?: (changed: () => void) => Disposable;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What a driver wants an administrator to know about this host. */
  readonly warnings?: (facts: HostFacts) => readonly string[];
  /**
   * Names in a directory, empty when there is none. The sweep finds files with it that no row tells of: those of a plan that was applied
   * when the daemon was killed, before its journal row was on disk.
   */
  readonly listDirectory: (path: string) => Promise<readonly string[]>;
}

/** Told when kernel state of ours came or went, so that it is watched, or not any more. */
export interface Watcher {
  readonly observe: (paths: readonly string[]) => void;
  readonly forget: (paths: readonly string[]) => void;
}

export interface Context extends EngineDeps {
  readonly registry: Registry;
  readonly portTable: PortTable;
  /** Of networks that span hosts: the peers that the kernel has, or is to have. */
  readonly peers: Map<Id, readonly Peer[]>;
  /** Of networks that span hosts: endpoints of others, as the name service and the kernel were told of them. */
  readonly remotes: Map<Id, ReadonlyMap<Id, RemoteEndpoint>>;
  /** Networks that have a part on this host now, of those that have one on demand. */
  readonly segments: Set<Id>;
  readonly executor: Executor;
  readonly facts: FactsCache;
  readonly events: EventBus;
  readonly world: SharedLock;
  readonly locks: KeyedLock;
  readonly watcher: Watcher;
  readonly unreadable: UnreadableRow[];
}

/** @throws not-found with Docker's text. */
export function driverOf(ctx: EngineDeps, type: string): NetworkDriver {
  const driver = ctx.drivers.find((one) => one.type === type);
  if (driver === undefined) throw noPlugin(type);
  return driver;
}

/** Whether it is one network of all hosts of the cluster. */
export const spans = (ctx: EngineDeps, { driver }: Pick<Network, 'driver'>): boolean =>
  ctx.drivers.find(({ type }) => type === driver)?.capabilities.scope === 'global';

/** @throws not-found with Docker's text. */
export function ipamOf(ctx: EngineDeps, type: string): IpamDriver {
  const driver = ctx.ipam.find((one) => one.type === type);
  if (driver === undefined) throw noPlugin(type);
  return driver;
}

const noPlugin = (type: string): Error =>
  notFound(`could not find plugin ${shown(type)} in v1 plugin registry: plugin not found`);

/** Something to do for each undo: runs all of them, newest first, and logs what fails. */
export class Undo {
  readonly #steps: (() => Promise<void>)[] = [];

  defer(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  async run(logger: Logger): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        logger.error({ err: error }, 'could not release what a failed operation had reserved');
      }
    }
  }
}
