/** A commit as one transaction of etcd: all expectations hold and everything is written, or the present revisions come back. */
import { conflict, type MoorError } from '../../base/errors.ts';
import type { Expect, Write } from '../../contracts/store.ts';
import { unmet } from '../writes.ts';
import {
  COMPARE_CREATE_REVISION,
  COMPARE_EQUAL,
  COMPARE_MOD_REVISION,
  type ReadOf,
  type RequestOpInit,
  type TXN,
  type TxnRequestInit,
} from './api.ts';
import type { Keys } from './keys.ts';

type TxnResult = ReadOf<typeof TXN.response>;
interface Expectation {
  readonly key: string;
  readonly expect: Expect;
}

/** @param leaseOf the number of a lease that a write names */
export function transaction(writes: readonly Write[], keys: Keys, leaseOf: (write: Write) => bigint): TxnRequestInit {
  return {
    compare: expectations(writes).map(({ key, expect }) =>
      expect === 'absent'
        ? { result: COMPARE_EQUAL, target: COMPARE_CREATE_REVISION, key: keys.full(key), createRevision: 0 }
        : { result: COMPARE_EQUAL, target: COMPARE_MOD_REVISION, key: keys.full(key), modRevision: expect },
    ),
    success: writes.map((write): RequestOpInit => {
      const key = keys.full(write.key);
      return write.type === 'put'
        ? { requestPut: { key, value: write.value, lease: leaseOf(write) } }
        : { requestDeleteRange: { key } };
    }),
    failure: expectations(writes).map(({ key }) => ({ requestRange: { key: keys.full(key), keysOnly: true } })),
  };
}

/** Which expectation failed. One of them has: etcd compares and reads at the same revision. */
export function refusal(writes: readonly Write[], { responses }: TxnResult): MoorError {
  const errors = expectations(writes).map(({ key, expect }, index) =>
    unmet(key, expect, responses[index]?.responseRange?.kvs[0]?.modRevision ?? null),
  );
  return errors.find((error) => error !== null) ?? conflict(`cannot write ${writes[0]?.key ?? ''}: an expectation failed`);
}

function expectations(writes: readonly Write[]): readonly Expectation[] {
  return writes.flatMap(({ key, expect }) => (expect === undefined ? [] : { key, expect }));
}
