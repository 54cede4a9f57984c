/**
 * The one error type of Moorline. Every door (HTTP, CNI, command line) maps `kind` through a table that is complete
 * by type, so a new kind cannot be forgotten anywhere.
 */

/** What went wrong, seen from the caller. */
export type ErrorKind =
  | 'invalid' // the request can never succeed as written
  | 'not-found'
  | 'conflict' // clashes with something that exists
  | 'forbidden' // understood, well formed, and refused by rule (Docker answers 403)
  | 'unsupported' // not built, or this kernel lacks it
  | 'exhausted' // a finite resource is used up
  | 'unavailable' // something we depend on is not there now
  | 'timeout'
  | 'cancelled'
  | 'internal';

/** What the kernel said, kept whole: operation in iproute2 words, errno name, and its extended-ack text. */
export interface KernelDetail {
  readonly operation: string;
  readonly errno: number; // positive, as in errno(3)
  readonly code: string; // 'EEXIST'
  readonly extack?: string; // NLMSGERR_ATTR_MSG, <linux/netlink.h>
}

/**
 * An error with a kind. The message names the action that failed, then the state, without a full stop:
 * `Cannot assign 10.0.0.5: pool 10.0.0.0/30 has no free address`.
 */
export class MoorError extends Error {
  readonly kind: ErrorKind;
  readonly kernel: KernelDetail | undefined;

  constructor(kind: ErrorKind, message: string, options?: { readonly cause?: unknown; readonly kernel?: KernelDetail }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MoorError';
    this.kind = kind;
    this.kernel = options?.kernel;
  }
}

export const invalid = (message: string): MoorError => new MoorError('invalid', message);
export const notFound = (message: string): MoorError => new MoorError('not-found', message);
export const conflict = (message: string): MoorError => new MoorError('conflict', message);
export const forbidden = (message: string): MoorError => new MoorError('forbidden', message);
export const unsupported = (message: string): MoorError => new MoorError('unsupported', message);
export const exhausted = (message: string): MoorError => new MoorError('exhausted', message);

/** The plain form of an error that crosses a thread or the journal. */
export interface ErrorData {
  readonly kind: ErrorKind;
  readonly message: string;
  readonly kernel?: KernelDetail;
}

/** Turns any thrown value into plain data; what is not a MoorError is `internal`. */
export function errorData(error: unknown): ErrorData {
  if (error instanceof MoorError) {
    return { kind: error.kind, message: error.message, ...(error.kernel ? { kernel: error.kernel } : {}) };
  }
  return { kind: 'internal', message: error instanceof Error ? error.message : String(error) };
}

/** The inverse of `errorData`. */
export function errorFrom(data: ErrorData): MoorError {
  return new MoorError(data.kind, data.message, data.kernel ? { kernel: data.kernel } : {});
}
