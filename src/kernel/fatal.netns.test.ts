/** How a process ends that has a kernel thread: with its own error, not with one of the thread's. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

for (const [what, ...args] of [
  ['watches', 'idle', '50'],
  ['has just been given work', 'busy', '0'],
  ['waits for the kernel', 'busy', '5'],
] as const) {
  test(`an uncaught error while the kernel thread ${what}: its message and code 1`, () => {
    for (let round = 0; round < 3; round++) {
      const child = spawnSync(process.execPath, [join(import.meta.dirname, 'fatal.child.ts'), ...args], { encoding: 'utf8' });
      assert.deepEqual([child.status, child.signal], [1, null], child.stderr);
      assert.match(child.stderr, /^Error: out of luck$/m);
    }
  });
}
