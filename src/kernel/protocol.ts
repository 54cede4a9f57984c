/** What the API's thread and the kernel thread say to each other. Plain data. */
import type { ErrorData } from '../base/errors.ts';
import type { Netns } from '../contracts/change.ts';
import type { HostPort, HostPortRefusal } from '../contracts/host-ports.ts';
import type { KernelEvent, SnapshotPart } from '../contracts/kernel.ts';
import type { NftTable, NftTableRef } from '../nft/types.ts';
import type { PackedChanges } from './pack.ts';
import type { Shared } from './shared.ts';

export type Call =
  /**
   * `whole`: nft commands to run before, as one transaction. When they are refused nothing is done, and the answer is null.
   */
  | { readonly method: 'apply'; readonly changes: PackedChanges; readonly keepGoing: boolean; readonly whole?: string }
  | { readonly method: 'snapshot'; readonly netns: readonly Netns[]; readonly parts: readonly SnapshotPart[] }
  | { readonly method: 'listTable'; readonly table: NftTableRef; readonly netns: Netns }
  | { readonly method: 'tableNames' | 'facts' | 'features' | 'watch' | 'unwatch' }
  | { readonly method: 'automaticPorts' }
  | { readonly method: 'holdPorts' | 'releasePorts'; readonly ports: readonly HostPort[] }
  | { readonly method: 'portHolder'; readonly refusal: HostPortRefusal }
  | { readonly method: 'pins'; readonly directory: string }
  | { readonly method: 'observe' | 'forget'; readonly netns: readonly Netns[] };

export type ToWorker =
  | { readonly id: number; readonly call: Call }
  /** Nobody waits for an answer. */
  | { readonly expect: readonly Netns[] }
  | { readonly stop: true }
  /** The process ends: let go of the event loop, then set the number to 1 and wake who waits for it. */
  | { readonly halt: Int32Array<SharedArrayBuffer> };

export type FromWorker =
  /** With the thread's number, as gettid(2) has it. */
  | { readonly ready: number }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: ErrorData }
  | { readonly event: KernelEvent };

/** `workerData` */
export interface WorkerOptions {
  readonly table: NftTableRef;
  readonly roots: readonly string[];
  readonly forceNftProgram: boolean;
  readonly innerTables: readonly NftTable[];
  readonly shared: Shared;
}
