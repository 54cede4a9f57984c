/** Consul's errors as errors of ours. It answers with a status and a sentence; where a status stands for several things, the words decide. */
import { type ErrorKind, MoorError } from '../../base/errors.ts';
import { shown } from '../../base/shown.ts';
import { HttpError } from './http.ts';

/** An answer that is none: not one of the statuses that the call may have. */
export class StatusError extends Error {
  readonly status: number;

  constructor(server: string, status: number, text: string) {
    super(`${server}: ${text.trim() === '' ? `status ${status}` : shown(text.trim(), 200)}`);
    this.name = 'StatusError';
    this.status = status;
  }
}

/** Not the server's verdict on the call: another try, elsewhere or later, may succeed. */
export function isPassing(error: unknown): boolean {
  if (error instanceof HttpError) return true;
  return error instanceof StatusError && (error.status >= 500 || error.status === 429) && ttlBounds(error) === null;
}

/** Consul's own bounds for the time to live of a session (agent/consul/session_endpoint.go), as it writes them: `10s`, `24h0m0s`. */
export function ttlBounds(error: unknown): readonly [least: string, most: string] | null {
  const [, least, most] =
    /Invalid Session TTL '-?\d+', must be between \[(\w+)=(\w+)\]/.exec(error instanceof StatusError ? error.message : '') ?? [];
  return least === undefined || most === undefined ? null : [least, most];
}

/** Whether nothing was done, so that even what must not be done twice may be tried again. */
export function isUndone(error: unknown): boolean {
  if (error instanceof HttpError) return !error.reached;
  // Said before the request enters the log: by a server that knows no leader (structs.ErrNoLeader), and by one with too much to do.
  return error instanceof StatusError && (error.status === 429 || /No cluster leader|rate limit/i.test(error.message));
}

function kindOf(error: StatusError): ErrorKind {
  if (error.status === 403 || error.status === 401) return 'forbidden';
  if (error.status === 413 || error.status === 400) return 'invalid';
  return error.status >= 500 || error.status === 429 ? 'unavailable' : 'internal';
}

/** @param action what failed, in words: `read network/a` */
export function storeFault(action: string, error: unknown): MoorError {
  if (error instanceof MoorError) return error;
  const what = `cannot ${action}`;
  if (error instanceof HttpError)
    return new MoorError(error.timeout && error.reached ? 'timeout' : 'unavailable', `${what}: Consul at ${error.message}`, {
      cause: error,
    });
  if (error instanceof StatusError) return new MoorError(kindOf(error), `${what}: Consul at ${error.message}`, { cause: error });
  return new MoorError('internal', `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
