/** An error in the daemon that nobody catches. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDaemon } from '../support/daemon.ts';

/** Loaded into every thread of moord; the signal is one that it does not use. */
const BOMB = `import { isMainThread } from 'node:worker_threads';
  if (isMainThread) process.on('SIGUSR2', () => { throw new Error('out of luck'); });`;

test('moord says what it was, ends with code 1, and everything works again at the next start', async () => {
  await using daemon = await startDaemon({
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(BOMB)}` },
  });
  await daemon.request('POST', '/moor/networks', { name: 'net' });
  const sandbox = { name: 'web', networks: [{ network: 'net' }] };
  assert.equal((await daemon.request('POST', '/moor/sandboxes', sandbox)).status, 201);
  for (let round = 0; round < 3; round++) {
    // It has just been at work, and the kernel still is.
    await daemon.request('POST', '/moor/networks/net/disconnect', { sandbox: 'web' });
    assert.equal(await daemon.stop('SIGUSR2'), 1);
    assert.match(daemon.log(), /FATAL uncaught error: the daemon ends.* error="out of luck"\n +Error: out of luck/);
    assert.doesNotMatch(daemon.log(), /Native stack trace/);
    await daemon.start();
    assert.equal((await daemon.request('POST', '/moor/networks/net/connect', { sandbox: 'web' })).status, 200);
  }
});
