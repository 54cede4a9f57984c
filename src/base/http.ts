/** Kinds of error as HTTP statuses, for every door that speaks HTTP. */
import type { ErrorKind } from './errors.ts';

/**
 * Docker's own choices where it has one (moby `daemon/server/httpstatus`): a pool without a free address is 503, a
 * feature that is missing 501. 499 is the de-facto status for a request that its client gave up.
 */
export const HTTP_STATUS = {
  invalid: 400,
  'not-found': 404,
  conflict: 409,
  forbidden: 403,
  unsupported: 501,
  exhausted: 503,
  unavailable: 503,
  timeout: 504,
  cancelled: 499,
  internal: 500,
} as const satisfies Record<ErrorKind, number>;
