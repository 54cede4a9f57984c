/** What the API's thread and the resolver's say to each other. Plain data. */
import type { ErrorData } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { NameRecord, ResolverClient, ResolverStatus } from '../contracts/resolver.ts';

/** Asked with an id, and answered. */
export type Call =
  | { readonly method: 'serve'; readonly clients: readonly ResolverClient[] }
  | { readonly method: 'stop'; readonly sandboxes: readonly Id[] }
  | { readonly method: 'status' };

export type ToWorker =
  | { readonly id: number; readonly call: Call }
  | { readonly put: readonly NameRecord[] }
  | { readonly remove: readonly Id[] }
  | { readonly end: true }
  /** The process ends: leave the loop, then set the number to 1 and wake who waits for it. */
  | { readonly halt: Int32Array<SharedArrayBuffer> };

export type FromWorker =
  | { readonly ready: true }
  | { readonly id: number; readonly value: ResolverStatus | null }
  | { readonly id: number; readonly error: ErrorData }
  /** Something that should not happen, and did not end the thread. */
  | { readonly trouble: ErrorData };

/** `workerData` */
export interface WorkerOptions {
  /** Descriptor of an eventfd: messages have come. */
  readonly event: number;
  readonly descriptors: SharedArrayBuffer;
}
