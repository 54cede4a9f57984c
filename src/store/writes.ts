/** Rules for keys, values and sets of writes that every store obeys, so that what works on one works on all. */
import { conflict, invalid, type MoorError } from '../base/errors.ts';
import { shown } from '../base/shown.ts';
import type { Expect, Revision, Write } from '../contracts/store.ts';

/** Our own limit: log lines and Consul's URLs stay short. */
const KEY_MAX = 512;
/** The smallest limit among the stores: Consul takes 512 KiB a value, ZooKeeper 1 MiB, etcd 1.5 MiB a request. */
const VALUE_MAX_BYTES = 512 * 1024;

/** Printable ASCII segments: byte order, UTF-16 order and every server's collation then agree on "key order". */
const KEY = /^[!-.0-~]+(\/[!-.0-~]+)*$/;
const PREFIX = /^[!-~]*$/;

/** Whether `checkKey` lets it pass: for keys that others have made. */
export const isKey = (key: string): boolean => key.length <= KEY_MAX && KEY.test(key);

/** @throws invalid unless the key is a path of printable ASCII segments without a leading or trailing slash. */
export function checkKey(key: string): void {
  if (!isKey(key)) {
    throw invalid(`invalid store key ${JSON.stringify(shown(key))}: printable ASCII segments parted by '/', at most ${KEY_MAX}`);
  }
}

/** @throws invalid unless the text can be the beginning of a key; `` is the beginning of all. */
export function checkPrefix(prefix: string): void {
  if (prefix.length > KEY_MAX || !PREFIX.test(prefix)) throw invalid(`invalid store prefix ${JSON.stringify(shown(prefix))}`);
}

/** @throws invalid for a bad key or value, or a key that is written twice: its outcome would depend on the store. */
export function checkWrites(writes: readonly Write[]): void {
  const keys = new Set<string>();
  for (const write of writes) {
    checkKey(write.key);
    if (keys.has(write.key)) throw invalid(`invalid commit: ${write.key} is written twice`);
    keys.add(write.key);
    if (write.type === 'put') checkValue(write.key, write.value);
  }
}

function checkValue(key: string, value: string): void {
  if (!value.isWellFormed()) throw invalid(`invalid value of ${key}: not well-formed Unicode`);
  // A UTF-16 unit is at most 3 bytes of UTF-8: short values need no count.
  const bytes = value.length * 3 <= VALUE_MAX_BYTES ? 0 : Buffer.byteLength(value);
  if (bytes > VALUE_MAX_BYTES) throw invalid(`invalid value of ${key}: ${bytes} bytes, at most ${VALUE_MAX_BYTES} are allowed`);
}

/** @returns the error when the present revision (null: no entry) is not the expected one. */
export function unmet(key: string, expect: Expect | undefined, present: Revision | null): MoorError | null {
  if (expect === undefined) return null;
  if (expect === 'absent') {
    return present === null ? null : conflict(`cannot write ${key}: it exists already, at revision ${present}`);
  }
  if (present === expect) return null;
  return conflict(
    `cannot write ${key}: revision ${expect} was expected, ${present === null ? 'it is gone' : `it is at ${present}`}`,
  );
}
