/**
 * A commit as one transaction. An entry under a lease is locked by its session, and keeps that lock when it is only set: so that an entry
 * is under the lease that its last write names, and no other, a put deletes it first, in the same transaction and unseen by anybody.
 */
import { conflict, invalid, type MoorError } from '../../base/errors.ts';
import type { Revision, Write } from '../../contracts/store.ts';
import { unmet } from '../writes.ts';
import type { TxnAnswer } from './answers.ts';
import type { Keys } from './keys.ts';

interface Operation {
  readonly Verb: 'set' | 'lock' | 'delete' | 'cas' | 'check-index' | 'check-not-exists';
  readonly Key: string;
  readonly Value?: string;
  readonly Index?: number;
  readonly Session?: string;
}

export interface Transaction {
  readonly body: string;
  /** Which write an operation is part of. */
  readonly writeAt: (operation: number) => Write | undefined;
}

/** Consul's own limit (agent/txn_endpoint.go, maxTxnOps). */
export const OPERATIONS_MAX = 64;
/** Writes that always fit: three operations each, and the mark. */
export const COMMIT_WRITES = 21;

/**
 * @param leaseOf the session of the lease that a write names
 * @throws invalid when it is too much for one transaction
 */
export function transaction(writes: readonly Write[], keys: Keys, leaseOf: (write: Write) => string): Transaction {
  const parts = writes.map((write) => operations(write, keys, leaseOf));
  // Deletions alone come back without an index. A value that is the same as before would not get a new one.
  if (writes.every(({ type }) => type === 'delete'))
    parts.push([{ Verb: 'set', Key: keys.mark, Value: Buffer.from(crypto.randomUUID()).toString('base64') }]);
  const owners = parts.flatMap((part, at) => part.map(() => at));
  if (owners.length > OPERATIONS_MAX)
    throw invalid(
      `cannot write ${writes[0]?.key ?? ''}: ${writes.length} writes are ${owners.length} operations for Consul, which takes ${OPERATIONS_MAX} in one commit`,
    );
  const body = JSON.stringify(parts.flat().map((operation) => ({ KV: operation })));
  return { body, writeAt: (operation) => writes[owners[operation] ?? -1] };
}

function operations(write: Write, keys: Keys, leaseOf: (write: Write) => string): readonly Operation[] {
  const Key = keys.full(write.key);
  const { expect } = write;
  const check: readonly Operation[] = typeof expect === 'number' ? [{ Verb: 'check-index', Key, Index: expect }] : [];
  if (write.type === 'delete') return [...check, { Verb: 'delete', Key }];
  const Value = Buffer.from(write.value).toString('base64');
  const Session = leaseOf(write);
  if (expect === 'absent' && Session === '') return [{ Verb: 'cas', Key, Value, Index: 0 }];
  const put: Operation = Session === '' ? { Verb: 'set', Key, Value } : { Verb: 'lock', Key, Value, Session };
  return expect === 'absent' ? [{ Verb: 'check-not-exists', Key }, put] : [...check, { Verb: 'delete', Key }, put];
}

/** The session of a lease is no more (agent/consul/state/txn.go). */
export const isLeaseMissing = (what: string): boolean => what.startsWith('invalid session ');

/** Which expectation failed: the first operation that failed belongs to it. null: none, it is something else. */
export function refusal({ errors }: TxnAnswer, { writeAt }: Transaction): MoorError | null {
  for (const { operation, what } of errors) {
    const write = writeAt(operation);
    if (!write || write.expect === undefined || isLeaseMissing(what)) continue;
    if (write.expect === 'absent') return conflict(`cannot write ${write.key}: it exists already`);
    return unmet(write.key, write.expect, presentIn(what)) ?? conflict(`cannot write ${write.key}: an expectation failed`);
  }
  return null;
}

/** `failed index check for key "a", current modify index 13 != 1`, or that it does not exist (agent/consul/state/txn.go). */
function presentIn(what: string): Revision | null {
  const found = /current modify index (\d+) != /.exec(what)?.[1];
  return found === undefined ? null : Number(found);
}
