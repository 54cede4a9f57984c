// test-timeout: 180 s
/** docs/guides/names-and-ports.md, executed. GUIDE=write records the outputs anew. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { executePage, guideHost } from '../support/guide-host.ts';

it('docs/guides/names-and-ports.md does what it says', async () => {
  await using stack = new AsyncDisposableStack();
  const outputs = await executePage('docs/guides/names-and-ports.md', await guideHost(stack));
  assert.ok(outputs > 15, 'the guide has its blocks');
});
