/** ZooKeeper's errors as errors of ours. Codes: org.apache.zookeeper.KeeperException.Code. */
import { type ErrorKind, MoorError } from '../../base/errors.ts';

export const CODE = {
  OK: 0,
  RUNTIME_INCONSISTENCY: -2,
  UNIMPLEMENTED: -6,
  BAD_ARGUMENTS: -8,
  NO_NODE: -101,
  NO_AUTH: -102,
  BAD_VERSION: -103,
  NODE_EXISTS: -110,
  NOT_EMPTY: -111,
  SESSION_EXPIRED: -112,
  INVALID_ACL: -114,
  AUTH_FAILED: -115,
  SESSION_MOVED: -118,
  NOT_READ_ONLY: -119,
  QUOTA_EXCEEDED: -125,
  THROTTLED: -127,
} as const;

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(CODE).map(([name, code]): [number, string] => [code, name.toLowerCase().replaceAll('_', ' ')]),
);

/** The server has answered, with an error. */
export class ZkError extends Error {
  readonly code: number;
  /** Everything up to this transaction was looked at. */
  readonly zxid: number;

  constructor(server: string, code: number, zxid = 0) {
    super(`${server}: ${NAMES.get(code) ?? `error ${code}`}`);
    this.name = 'ZkError';
    this.code = code;
    this.zxid = zxid;
  }
}

/** There is no answer: no connection, or it broke, or nothing came in time. */
export class LostError extends Error {
  /** Whether the server may have got the request. */
  readonly reached: boolean;
  readonly timeout: boolean;

  constructor(message: string, { reached, timeout = false }: { readonly reached: boolean; readonly timeout?: boolean }) {
    super(message);
    this.name = 'LostError';
    this.reached = reached;
    this.timeout = timeout;
  }
}

/** What came is not what ZooKeeper says. */
export class ProtocolError extends Error {
  constructor(message: string) {
    super(`not understood: ${message}`);
    this.name = 'ProtocolError';
  }
}

export const isCode = (error: unknown, code: number): boolean => error instanceof ZkError && error.code === code;

/** Not the server's verdict on the call: another try, on another connection or later, may succeed. */
export function isPassing(error: unknown): boolean {
  if (error instanceof LostError) return true;
  const passing: readonly number[] = [CODE.SESSION_EXPIRED, CODE.SESSION_MOVED, CODE.NOT_READ_ONLY, CODE.THROTTLED];
  return error instanceof ZkError && passing.includes(error.code);
}

/** Whether nothing was done, so that even what must not be done twice may be tried again. */
export const isUndone = (error: unknown): boolean => (error instanceof LostError ? !error.reached : isPassing(error));

/** What breaks before anything that changes something was sent. */
export const undone = (error: unknown): unknown =>
  error instanceof LostError ? new LostError(error.message, { reached: false, timeout: error.timeout }) : error;

function kindOf(code: number): ErrorKind {
  switch (code) {
    case CODE.NO_AUTH:
    case CODE.AUTH_FAILED:
    case CODE.INVALID_ACL:
      return 'forbidden';
    case CODE.UNIMPLEMENTED:
      return 'unsupported';
    case CODE.QUOTA_EXCEEDED:
      return 'exhausted';
    case CODE.BAD_ARGUMENTS:
      return 'invalid';
    case CODE.SESSION_EXPIRED:
    case CODE.SESSION_MOVED:
    case CODE.NOT_READ_ONLY:
    case CODE.THROTTLED:
      return 'unavailable';
    default:
      return 'internal';
  }
}

/** @param action what failed, in words: `read network/a` */
export function storeFault(action: string, error: unknown): MoorError {
  if (error instanceof MoorError) return error;
  const what = `cannot ${action}`;
  if (error instanceof LostError)
    return new MoorError(error.timeout && error.reached ? 'timeout' : 'unavailable', `${what}: ZooKeeper at ${error.message}`, {
      cause: error,
    });
  if (error instanceof ZkError)
    return new MoorError(kindOf(error.code), `${what}: ZooKeeper at ${error.message}`, { cause: error });
  return new MoorError('internal', `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
