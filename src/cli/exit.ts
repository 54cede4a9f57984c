/** What went wrong -> exit status of `moor`. `run` and `exec` give 125 for all of it, since other numbers are the command's. */
import type { ErrorKind } from '../base/errors.ts';

export const EXIT_STATUS = {
  internal: 1,
  invalid: 2,
  'not-found': 3,
  conflict: 4,
  forbidden: 5,
  unsupported: 6,
  exhausted: 7,
  unavailable: 8,
  timeout: 9,
  // 128 + SIGINT
  cancelled: 130,
} as const satisfies Record<ErrorKind, number>;

/** Something failed that concerns several things, each reported already. */
export const EXIT_FAILURE = 1;

/** `docker run`: the error is the engine's or the command line's, not the command's. */
export const EXIT_ENGINE = 125;
