/** The requests of ZooKeeper's protocol that we make (zookeeper.jute; org.apache.zookeeper.ZooDefs.OpCode), tried with 3.8. */
import { CODE, ProtocolError } from './faults.ts';
import { type JuteReader, JuteWriter } from './jute.ts';

export const OP = {
  CREATE: 1,
  DELETE: 2,
  EXISTS: 3,
  GET_DATA: 4,
  SET_DATA: 5,
  SYNC: 9,
  PING: 11,
  GET_CHILDREN: 12,
  CHECK: 13,
  MULTI: 14,
  REMOVE_WATCHES: 18,
  CREATE_CONTAINER: 19,
  AUTH: 100,
  ADD_WATCH: 106,
  CLOSE: -11,
} as const;

/** Numbers of requests that the protocol reserves. */
export const XID = { EVENT: -1, PING: -2, AUTH: -4 } as const;

/** Any version, in place of one that has to be the present. */
export const ANY_VERSION = -1;

/** Flags of create. A container is removed by the server when the last node in it is gone. */
const FLAGS = { plain: 0, ephemeral: 1, container: 4 } as const;
export type NodeType = keyof typeof FLAGS;

const PERSISTENT_RECURSIVE = 1;
const ANY_WATCH = 3;
const ALL_PERMISSIONS = 31;

export interface Stat {
  readonly czxid: number;
  /** Of the last change of the data, or of its creation. */
  readonly mzxid: number;
  readonly version: number;
  /** The session it goes with; 0: it stays. */
  readonly owner: bigint;
  /** Of the last child that came or went, or of its creation. */
  readonly pzxid: number;
}

export type Operation =
  | { readonly type: 'create'; readonly path: string; readonly data: Buffer; readonly node: NodeType }
  | { readonly type: 'delete'; readonly path: string; readonly version: number }
  | { readonly type: 'set'; readonly path: string; readonly data: Buffer; readonly version: number }
  | { readonly type: 'check'; readonly path: string; readonly version: number };

export interface Request {
  readonly op: number;
  readonly write: (to: JuteWriter) => void;
}

/** @param mine nodes are made for whoever has our name and password; otherwise for all */
export function createRequest({ path, data, node }: Extract<Operation, { type: 'create' }>, mine: boolean): Request {
  const op = node === 'container' ? OP.CREATE_CONTAINER : OP.CREATE;
  const [scheme, id] = mine ? ['auth', ''] : ['world', 'anyone'];
  return {
    op,
    write: (to) => void to.string(path).buffer(data).int(1).int(ALL_PERMISSIONS).string(scheme).string(id).int(FLAGS[node]),
  };
}

function operationRequest(operation: Operation, mine: boolean): Request {
  const { path } = operation;
  switch (operation.type) {
    case 'create':
      return createRequest(operation, mine);
    case 'delete':
      return { op: OP.DELETE, write: (to) => void to.string(path).int(operation.version) };
    case 'set':
      return { op: OP.SET_DATA, write: (to) => void to.string(path).buffer(operation.data).int(operation.version) };
    case 'check':
      return { op: OP.CHECK, write: (to) => void to.string(path).int(operation.version) };
    default:
      return operation satisfies never;
  }
}

/** All of them or none. */
export function multiRequest(operations: readonly Operation[], mine: boolean): Request {
  return {
    op: OP.MULTI,
    write: (to) => {
      for (const operation of operations) {
        const { op, write } = operationRequest(operation, mine);
        to.int(op).bool(false).int(-1);
        write(to);
      }
      to.int(-1).bool(true).int(-1);
    },
  };
}

/** The transaction that it is, or which operation failed and why. */
export type MultiResult = { readonly zxid: number } | { readonly operation: number; readonly code: number };

/** @param from the answer to a multi that sets some node: that says its number, while an answer's head may say a later one */
export function readMulti(from: JuteReader): MultiResult {
  let zxid = 0;
  for (let operation = 0; !from.atEnd; operation++) {
    const [type, done] = [from.int(), from.bool()];
    from.int();
    if (done) return { zxid };
    if (type === -1) {
      const code = from.int();
      // Those before the one that failed have no error, those behind it this one.
      if (code !== CODE.OK && code !== CODE.RUNTIME_INCONSISTENCY) return { operation, code };
    } else if (type === OP.CREATE || type === OP.CREATE_CONTAINER) from.string();
    else if (type === OP.SET_DATA) zxid = Math.max(zxid, readStat(from).mzxid);
    else if (type !== OP.DELETE && type !== OP.CHECK) throw new ProtocolError(`an answer to operation ${type}`);
  }
  throw new ProtocolError('a transaction without an end');
}

const path =
  (op: number) =>
  (name: string): Request => ({ op, write: (to) => void to.string(name).bool(false) });

export const getData = path(OP.GET_DATA);
export const getChildren = path(OP.GET_CHILDREN);
export const exists = path(OP.EXISTS);
/** What the leader has done when it gets this, our server has done when the answer comes. */
export const sync = (name: string): Request => ({ op: OP.SYNC, write: (to) => void to.string(name) });
/** Of the node, and all below it, until it is removed: ZooKeeper 3.6 and later. */
export const addWatch = (name: string): Request => ({
  op: OP.ADD_WATCH,
  write: (to) => void to.string(name).int(PERSISTENT_RECURSIVE),
});
export const removeWatch = (name: string): Request => ({
  op: OP.REMOVE_WATCHES,
  write: (to) => void to.string(name).int(ANY_WATCH),
});
export const ping: Request = { op: OP.PING, write: () => {} };
export const closeSession: Request = { op: OP.CLOSE, write: () => {} };
export const digestAuth = (user: string, password: string): Request => ({
  op: OP.AUTH,
  write: (to) => void to.int(0).string('digest').string(`${user}:${password}`),
});

export function readStat(from: JuteReader): Stat {
  const [czxid, mzxid] = [from.zxid(), from.zxid()];
  // Two moments in milliseconds.
  from.long();
  from.long();
  const version = from.int();
  // Versions of children and of permissions.
  from.int();
  from.int();
  const owner = from.long();
  // Bytes of data, number of children.
  from.int();
  from.int();
  return { czxid, mzxid, version, owner, pzxid: from.zxid() };
}

export interface WatchEvent {
  readonly path: string;
}

/** What happened is in its type; whoever gets it looks at the path anyway. */
export function readEvent(from: JuteReader): WatchEvent {
  from.int();
  from.int();
  return { path: from.string() };
}

export interface SessionId {
  readonly id: bigint;
  readonly password: Buffer;
}

export function connectFrame(session: SessionId | null, timeoutMs: number): Buffer {
  const { id, password } = session ?? { id: 0n, password: Buffer.alloc(16) };
  // No protocol version but 0, nothing seen so far, and no server that may only read.
  return new JuteWriter().int(0).long(0n).int(timeoutMs).long(id).buffer(password).bool(false).frame();
}

export interface Connected {
  readonly session: SessionId;
  /** 0: there is no such session any more. */
  readonly timeoutMs: number;
}

export function readConnected(from: JuteReader): Connected {
  from.int();
  const timeoutMs = from.int();
  return { timeoutMs, session: { id: from.long(), password: Buffer.from(from.buffer()) } };
}
