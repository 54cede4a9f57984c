/** What the store's thread and the worker with the database say to each other. Plain data. */
import type { ErrorData } from '../../base/errors.ts';
import type { Entry, Expect, Listing, Revision } from '../../contracts/store.ts';

/** A `Write` with its lease by name. */
export type WriteData =
  | {
      readonly type: 'put';
      readonly key: string;
      readonly value: string;
      readonly expect?: Expect;
      readonly lease: string | null;
    }
  | { readonly type: 'delete'; readonly key: string; readonly expect?: Revision };

export type Request =
  | { readonly type: 'commit'; readonly writes: readonly WriteData[] }
  /** Removes the entries put under the lease. */
  | { readonly type: 'drop'; readonly lease: string }
  | { readonly type: 'get'; readonly key: string }
  | { readonly type: 'list'; readonly prefix: string };

export type Reply =
  /** `absent`: indices of deletes that found nothing. No change at all: the revision is the one before. */
  | { readonly type: 'committed'; readonly revision: Revision; readonly absent: readonly number[] }
  | { readonly type: 'dropped'; readonly revision: Revision; readonly keys: readonly string[] }
  | { readonly type: 'entry'; readonly entry: Entry | null }
  | { readonly type: 'listing'; readonly listing: Listing }
  | { readonly type: 'error'; readonly error: ErrorData };

export type ToWorker =
  /** Answered by one `replies` with as many replies, in order. All writes of it are one transaction. */
  { readonly type: 'run'; readonly requests: readonly Request[] } | { readonly type: 'close' };

export type FromWorker =
  | { readonly type: 'opened'; readonly revision: Revision }
  | { readonly type: 'failed'; readonly error: ErrorData }
  | { readonly type: 'replies'; readonly replies: readonly Reply[] }
  | { readonly type: 'closed' };

export interface WorkerInput {
  readonly file: string;
}
