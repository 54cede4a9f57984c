/**
 * The part of etcd's v3 API that the store uses: messages, methods and constants. Numbers are those of etcd's rpc.proto, kv.proto and
 * auth.proto (etcd.io/docs/v3.4/dev-guide/api_reference_v3), names the same in camel case.
 */
import { bool, bytes, int, int64, type Message, message, nested, repeated, string } from './protobuf.ts';

export const COMPARE_EQUAL = 0;
export const COMPARE_CREATE_REVISION = 1;
export const COMPARE_MOD_REVISION = 2;
export const EVENT_DELETE = 1;

/** clusterId is unsigned; it is only compared. */
const ResponseHeader = message({ clusterId: int64(1), revision: int(3) });
const KeyValue = message({ key: bytes(1), createRevision: int(2), modRevision: int(3), value: bytes(5), lease: int64(6) });
const Event = message({ type: int(1), kv: nested(2, KeyValue) });

const RangeRequest = message({ key: bytes(1), rangeEnd: bytes(2), limit: int(3), revision: int(4), keysOnly: bool(8) });
const RangeResponse = message({ header: nested(1, ResponseHeader), kvs: repeated(2, KeyValue), more: bool(3) });
const PutRequest = message({ key: bytes(1), value: bytes(2), lease: int64(3) });
const DeleteRangeRequest = message({ key: bytes(1) });

const Compare = message({ result: int(1), target: int(2), key: bytes(3), createRevision: int(5), modRevision: int(6) });
const RequestOp = message({
  requestRange: nested(1, RangeRequest),
  requestPut: nested(2, PutRequest),
  requestDeleteRange: nested(3, DeleteRangeRequest),
});
const ResponseOp = message({ responseRange: nested(1, RangeResponse) });
const TxnRequest = message({ compare: repeated(1, Compare), success: repeated(2, RequestOp), failure: repeated(3, RequestOp) });
const TxnResponse = message({ header: nested(1, ResponseHeader), succeeded: bool(2), responses: repeated(3, ResponseOp) });

/** ttl in seconds. Id 0 when granting: the server chooses. */
const LeaseGrantRequest = message({ ttl: int(1), id: int64(2) });
const LeaseGrantResponse = message({ id: int64(2), ttl: int(3) });
const LeaseRevokeRequest = message({ id: int64(1) });
const LeaseRevokeResponse = message({});
const LeaseKeepAliveRequest = message({ id: int64(1) });
/** ttl 0: there is no such lease. */
const LeaseKeepAliveResponse = message({ id: int64(2), ttl: int(3) });

const WatchCreateRequest = message({
  key: bytes(1),
  rangeEnd: bytes(2),
  startRevision: int(3),
  progressNotify: bool(4),
  fragment: bool(8),
});
const WatchProgressRequest = message({});
const WatchRequest = message({ createRequest: nested(1, WatchCreateRequest), progressRequest: nested(3, WatchProgressRequest) });
const WatchResponse = message({
  header: nested(1, ResponseHeader),
  watchId: int(2),
  created: bool(3),
  canceled: bool(4),
  compactRevision: int(5),
  cancelReason: string(6),
  fragment: bool(7),
  events: repeated(11, Event),
});

const AuthenticateRequest = message({ name: string(1), password: string(2) });
const AuthenticateResponse = message({ token: string(2) });

export type ReadOf<M> = M extends Message<infer R, never> ? R : never;
export type WriteOf<M> = M extends Message<infer _R, infer W> ? W : never;
export type RangeResult = ReadOf<typeof RangeResponse>;
export type TxnRequestInit = WriteOf<typeof TxnRequest>;
export type RequestOpInit = WriteOf<typeof RequestOp>;
export type WatchMessage = ReadOf<typeof WatchResponse>;
export type EventMessage = ReadOf<typeof Event>;

/** One method of the server. */
export interface Rpc<Request, Response> {
  readonly path: string;
  readonly request: Message<unknown, Request>;
  readonly response: Message<Response, never>;
}

export const RANGE = { path: '/etcdserverpb.KV/Range', request: RangeRequest, response: RangeResponse };
export const TXN = { path: '/etcdserverpb.KV/Txn', request: TxnRequest, response: TxnResponse };
export const LEASE_GRANT = { path: '/etcdserverpb.Lease/LeaseGrant', request: LeaseGrantRequest, response: LeaseGrantResponse };
export const LEASE_REVOKE = {
  path: '/etcdserverpb.Lease/LeaseRevoke',
  request: LeaseRevokeRequest,
  response: LeaseRevokeResponse,
};
/** A stream in both directions; one message each way looks on the wire like any other call. */
export const LEASE_KEEP_ALIVE = {
  path: '/etcdserverpb.Lease/LeaseKeepAlive',
  request: LeaseKeepAliveRequest,
  response: LeaseKeepAliveResponse,
};
export const WATCH = { path: '/etcdserverpb.Watch/Watch', request: WatchRequest, response: WatchResponse };
export const AUTHENTICATE = {
  path: '/etcdserverpb.Auth/Authenticate',
  request: AuthenticateRequest,
  response: AuthenticateResponse,
};
