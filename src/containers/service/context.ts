/** What the parts of the service share. */
import type { Clock, Logger } from '../../base/clock.ts';
import type { KeyedLock } from '../../base/keyed-lock.ts';
import type { ExitStatus, Images, LogEntry, LogQuery, RootFiles, Runtime } from '../../contracts/containers.ts';
import type { Engine } from '../../contracts/engine.ts';
import type { Processes } from '../../contracts/process.ts';
import type { Store } from '../../contracts/store.ts';
import type { SandboxDns } from '../../model/sandbox.ts';
import type { Execs } from './exec-registry.ts';
import type { Live, Registry, Run } from './registry.ts';
import type { Roots } from './roots.ts';
import type { VolumeRegistry } from './volume-registry.ts';

/** Milliseconds. */
export interface ServiceTimes {
  /** First and longest wait of a restart policy; doubles in between. Docker's: 100 ms and a minute. */
  readonly restartFirst: number;
  readonly restartLongest: number;
  /** A run that lasted this long starts the waits afresh. Docker's: 10 s. */
  readonly restartReset: number;
  /** How long the status of a process that has gone is waited for; the monitor writes it right after. */
  readonly lostStatus: number;
  /** How long SIGKILL may take. */
  readonly kill: number;
}

export const TIMES: ServiceTimes = {
  restartFirst: 100,
  restartLongest: 60_000,
  restartReset: 10_000,
  lostStatus: 3_000,
  kill: 10_000,
};

export interface ServiceConfig {
  /** `<dataRoot>/volumes`, `<dataRoot>/containers` */
  readonly dataRoot: string;
  readonly execRoot: string;
  /** The daemon's `--dns`, `--dns-search`, `--dns-opt`. */
  readonly dns?: SandboxDns;
  readonly times?: Partial<ServiceTimes>;
}

/** Where the log reader finds what a container wrote: src/containers/logs. */
export type ReadLogs = (
  source: { readonly path: string; readonly ended: AbortSignal },
  query: LogQuery,
  signal: AbortSignal,
) => AsyncIterable<LogEntry>;

export interface ServiceDeps {
  readonly engine: Engine;
  readonly images: Pick<Images, 'get' | 'lower'>;
  readonly runtime: Runtime;
  readonly rootFiles: Pick<RootFiles, 'create' | 'mount' | 'unmount' | 'remove' | 'size'>;
  readonly store: Store;
  readonly processes: Processes;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly readLogs: ReadLogs;
  readonly config: ServiceConfig;
}

export interface Context extends ServiceDeps {
  readonly times: ServiceTimes;
  readonly registry: Registry;
  readonly volumes: VolumeRegistry;
  readonly roots: Roots;
  readonly execs: Execs;
  /** One lock per container, by id. */
  readonly locks: KeyedLock;
  /** Aborted when the daemon stops. Containers go on. */
  readonly stopping: AbortSignal;
  /** For work that no caller waits for: its failure is logged, and the end of the service waits for it. */
  readonly later: (what: string, work: Promise<unknown>) => void;
  /** Handles the end of a process. */
  readonly ended: (live: Live, ended: Ended) => Promise<void>;
}

export interface Ended {
  readonly run: Run;
  readonly status: ExitStatus;
}
