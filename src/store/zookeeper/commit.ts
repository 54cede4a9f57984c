/**
 * A commit as one multi. ZooKeeper compares versions, which begin again with each node, and we expect revisions (mzxid), which never
 * come back: so what is there is read first, and the multi holds only if it is still so. A version says that for a node that stays. That
 * none was removed and made again meanwhile says the guard, a node that every commit which makes or removes nodes writes, and that those
 * compare which rely on what they have read.
 */
import { invalid, MoorError } from '../../base/errors.ts';
import type { Revision, Write } from '../../contracts/store.ts';
import { unmet } from '../writes.ts';
import { ANY_VERSION, createRequest, exists, multiRequest, type Operation, readMulti, readStat, type Stat, sync } from './api.ts';
import { type Connection, REQUEST_MAX_BYTES } from './connection.ts';
import { CODE, isCode, undone, ZkError } from './faults.ts';
import { JuteWriter } from './jute.ts';
import { above, type Paths } from './paths.ts';

export interface CommitDeps {
  readonly connection: Connection;
  readonly paths: Paths;
  /** Of the lease that all puts are under; 0: of none. */
  readonly lease: bigint;
  /** Which of the writes are under it. */
  readonly leased: (write: Write) => boolean;
  /** Milliseconds that are left. */
  readonly left: () => number;
}

/** What the writes rely on. */
interface Found {
  readonly guard: Stat | null;
  readonly nodes: ReadonlyMap<string, Stat | null>;
  readonly zxid: Revision;
}

/** How often others may be quicker. Each time one of them has got on. */
const TRIES = 50;

/** @throws MoorError; ZkError; LostError */
export async function commit(writes: readonly Write[], deps: CommitDeps): Promise<Revision> {
  const { connection, left } = deps;
  // At first as our server has it, which may lag; what that says against the writes is asked again behind a sync.
  let fresh = false;
  for (let tries = 0; tries < TRIES; tries++) {
    const found = await read(writes, deps, fresh).catch((error: unknown) => {
      throw undone(error);
    });
    const refused = refusal(writes, found);
    if (refused !== null) {
      if (fresh) throw refused;
      fresh = true;
      continue;
    }
    const operations = operationsOf(writes, found, deps);
    if (operations.length === 0) {
      if (fresh) return found.zxid;
      fresh = true;
      continue;
    }
    const request = multiRequest(operations, connection.mine);
    checkSize(writes, request.write);
    const result = readMulti((await connection.call(request, left())).from);
    if ('zxid' in result) return result.zxid;
    if (result.code === CODE.NO_NODE) await makeFolders(operations[result.operation], deps);
    else if (result.code !== CODE.BAD_VERSION && result.code !== CODE.NODE_EXISTS)
      throw new ZkError(connection.name, result.code);
    fresh = true;
  }
  throw new MoorError('unavailable', `cannot write ${writes[0]?.key ?? ''}: others were quicker ${TRIES} times`);
}

async function read(writes: readonly Write[], { connection, paths, left }: CommitDeps, fresh: boolean): Promise<Found> {
  const timeoutMs = left();
  const stat = async (path: string): Promise<{ readonly stat: Stat | null; readonly zxid: Revision }> => {
    try {
      const { from, zxid } = await connection.call(exists(path), timeoutMs);
      return { stat: readStat(from), zxid };
    } catch (error) {
      if (error instanceof ZkError && error.code === CODE.NO_NODE) return { stat: null, zxid: error.zxid };
      throw error;
    }
  };
  // All of them are on their way before the first is answered.
  const synced = fresh ? connection.call(sync(paths.root), timeoutMs) : null;
  const guard = stat(paths.guard);
  const nodes = writes.map(async (write) => [write.key, (await stat(paths.entry(write.key))).stat] as const);
  const [{ stat: present, zxid }, found] = await Promise.all([guard, Promise.all(nodes), synced]);
  return { guard: present, nodes: new Map(found), zxid };
}

function refusal(writes: readonly Write[], { nodes }: Found): MoorError | null {
  for (const { key, expect } of writes) {
    const error = unmet(key, expect, nodes.get(key)?.mzxid ?? null);
    if (error) return error;
  }
  return null;
}

function operationsOf(writes: readonly Write[], { guard, nodes }: Found, deps: CommitDeps): readonly Operation[] {
  const { paths, lease, leased } = deps;
  const operations: Operation[] = [];
  let relies = false;
  let structure = false;
  for (const write of writes) {
    const path = paths.entry(write.key);
    const node = nodes.get(write.key) ?? null;
    const version = write.expect === undefined || node === null ? ANY_VERSION : node.version;
    const owner = leased(write) ? lease : 0n;
    if (write.type === 'put' && node?.owner === owner) {
      relies = true;
      operations.push({ type: 'set', path, data: Buffer.from(write.value), version });
      continue;
    }
    // Of a session or not: a node is that from its making on.
    if (node !== null) {
      relies ||= write.expect !== undefined;
      structure = true;
      operations.push({ type: 'delete', path, version });
    }
    if (write.type === 'delete') continue;
    structure = true;
    operations.push({ type: 'create', path, data: Buffer.from(write.value), node: owner === 0n ? 'plain' : 'ephemeral' });
  }
  if (structure || relies) {
    const first: Operation = structure
      ? { type: 'set', path: paths.guard, data: Buffer.alloc(0), version: relies && guard ? guard.version : ANY_VERSION }
      : { type: 'check', path: paths.guard, version: guard?.version ?? ANY_VERSION };
    operations.unshift(first);
  }
  return operations;
}

function checkSize(writes: readonly Write[], write: (to: JuteWriter) => void): void {
  const to = new JuteWriter().int(0).int(0);
  write(to);
  if (to.length > REQUEST_MAX_BYTES)
    throw invalid(
      `cannot write ${writes[0]?.key ?? ''}: the commit has ${to.length} bytes for ZooKeeper, which takes ${REQUEST_MAX_BYTES} at a time (jute.maxbuffer)`,
    );
}

/** What an operation missed: the folders of its node, or the guard, which only the first commit of all misses. */
async function makeFolders(operation: Operation | undefined, { connection, paths, left }: CommitDeps): Promise<void> {
  const path = operation?.path ?? paths.guard;
  if (path !== paths.guard && operation?.type !== 'create') return;
  for (const folder of above(path)) {
    // What is below our prefix is removed by the server when it is empty again.
    await make(connection, { path: folder, node: folder.startsWith(`${paths.root}/`) ? 'container' : 'plain' }, left());
  }
  if (path === paths.guard) await make(connection, { path, node: 'plain' }, left());
}

async function make(
  connection: Connection,
  { path, node }: { path: string; node: 'plain' | 'container' },
  timeoutMs: number,
): Promise<void> {
  try {
    await connection.call(createRequest({ type: 'create', path, data: Buffer.alloc(0), node }, connection.mine), timeoutMs);
  } catch (error) {
    if (!isCode(error, CODE.NODE_EXISTS) && !isCode(error, CODE.NO_NODE)) throw undone(error);
  }
}

/** One session makes the nodes of one multi. */
export function oneLease(writes: readonly Write[]): MoorError | null {
  const ids = new Set(writes.flatMap((write) => (write.type === 'put' && write.lease ? write.lease.id : [])));
  if (ids.size <= 1) return null;
  return invalid(
    `cannot write ${writes[0]?.key ?? ''}: the commit is under ${ids.size} leases, and ZooKeeper takes one at a time`,
  );
}
