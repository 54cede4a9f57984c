/**
 * etcd's errors as errors of ours. Codes and texts: etcd's rpctypes/error.go; where a code stands for several things, the text tells
 * them apart.
 */
import { MoorError, type ErrorKind } from '../../base/errors.ts';
import { GRPC, RpcError } from './grpc.ts';

const has =
  (code: number, text: string) =>
  (error: unknown): boolean =>
    error instanceof RpcError && error.code === code && error.message.includes(text);

export const isCompacted = has(GRPC.OUT_OF_RANGE, 'has been compacted');
export const isLeaseMissing = has(GRPC.NOT_FOUND, 'requested lease not found');
export const isAuthOff = has(GRPC.FAILED_PRECONDITION, 'authentication is not enabled');

/** The token is old, or was given by a server that has restarted since; with a fresh one the call is worth another try. Nothing was done. */
export function isTokenStale(error: unknown): boolean {
  if (!(error instanceof RpcError)) return false;
  if (error.code === GRPC.UNAUTHENTICATED) return true;
  // Somebody turned authentication on, or changed a user, after we got the token, or got none.
  return error.code === GRPC.INVALID_ARGUMENT && /user name is empty|revision of auth store is old/.test(error.message);
}

/** Not the server's verdict on the call: another try, elsewhere or later, may succeed. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof RpcError)) return false;
  if (error.code === GRPC.UNAVAILABLE || error.code === GRPC.DEADLINE_EXCEEDED || error.code === GRPC.CANCELLED) return true;
  return error.code === GRPC.RESOURCE_EXHAUSTED && error.message.includes('too many requests');
}

/** Whether nothing was done, so that even what must not be done twice may be tried again. */
export function isUndone(error: unknown): boolean {
  if (!(error instanceof RpcError)) return false;
  // Said before the request enters the cluster: by a server without a leader, and by one with too much to do.
  return !error.reached || /etcdserver: (no leader|too many requests|not capable)/.test(error.message);
}

function kindOf({ code, message }: RpcError): ErrorKind {
  switch (code) {
    case GRPC.DEADLINE_EXCEEDED:
      return 'timeout';
    case GRPC.UNAVAILABLE:
    case GRPC.CANCELLED:
    case GRPC.OUT_OF_RANGE:
    case GRPC.NOT_FOUND:
      return 'unavailable';
    case GRPC.RESOURCE_EXHAUSTED:
      // gRPC's own limit on the server, 512 KiB above etcd's.
      if (message.includes('larger than max')) return 'invalid';
      return message.includes('too many requests') ? 'unavailable' : 'exhausted';
    case GRPC.PERMISSION_DENIED:
    case GRPC.UNAUTHENTICATED:
      return 'forbidden';
    case GRPC.INVALID_ARGUMENT:
      return /authentication failed|user name is empty|auth store/.test(message) ? 'forbidden' : 'invalid';
    case GRPC.UNIMPLEMENTED:
      return 'unsupported';
    default:
      return 'internal';
  }
}

/** @param action what failed, in words: `read network/a`. */
export function storeFault(action: string, error: unknown): MoorError {
  if (error instanceof MoorError) return error;
  const what = `cannot ${action}`;
  if (error instanceof RpcError) return new MoorError(kindOf(error), `${what}: etcd at ${error.message}`, { cause: error });
  return new MoorError('internal', `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
