import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { it } from 'node:test';
import { storeFault } from './faults.ts';

/** @returns what a call throws */
function thrown(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}

it('takes what is wrong with a file for no mistake of ours', () => {
  const { kind, message } = storeFault(
    'open',
    '/x/state.db',
    thrown(() => openSync('/proc/none/state.db', 'wx')),
  );
  assert.deepEqual(
    { kind, message },
    { kind: 'unavailable', message: 'cannot open the store /x/state.db: no such file or directory' },
  );
  assert.equal(storeFault('open', '/x/state.db', new TypeError('x is not a function')).kind, 'internal');
});
