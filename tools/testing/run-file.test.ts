import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runText } from './fixture.ts';
import { groupOf, timeoutOf } from './groups.ts';

const HEAD = `import { describe, before, test } from 'node:test';\n`;

test('passes, failures, skips and subtests are counted one by one, suites are not', async () => {
  const result = await runText(
    `${HEAD}
     test('one', () => {});
     test('outer', async (t) => { await t.test('inner', () => {}); });
     describe('suite', () => {
       test('two', () => {});
       test('bad', () => { throw new Error('boom'); });
       test('later', { skip: 'no kernel support' }, () => {});
       test.todo('some day');
     });`,
    'unit',
  );
  assert.equal(result.passed, 4);
  assert.deepEqual(
    result.failures.map(({ name }) => name),
    ['suite > bad'],
  );
  assert.match(result.failures[0]?.error ?? '', /Error: boom/);
  assert.deepEqual(result.skipped, [
    { name: 'suite > later', reason: 'no kernel support' },
    { name: 'suite > some day', reason: '' },
  ]);
});

test('a failed hook is a failure', async () => {
  const { passed, failures } = await runText(
    `${HEAD} describe('suite', () => { before(() => { throw new Error('no lab'); }); test('x', () => {}); });`,
    'unit',
  );
  assert.equal(passed, 0);
  assert.ok(failures.some(({ error }) => error.includes('no lab')));
});

test('a file without a test is a failure', async () => {
  const { failures } = await runText(`console.log('nothing here');`, 'unit');
  assert.deepEqual(failures, [{ name: 'the file has tests', error: 'no test ran' }]);
});

test('a file that does not load is a failure, and its output tells why', async () => {
  const { failures, output } = await runText(`import './absent.ts';`, 'unit');
  assert.deepEqual(failures, [{ name: 'the file ends well', error: 'exited with 1' }]);
  assert.match(output, /absent\.ts/);
});

test('a file that ends itself in the middle is a failure', async () => {
  const { failures } = await runText(`${HEAD} test('a', () => {}); test('b', () => process.exit(3));`, 'unit');
  assert.equal(failures.length, 1);
  assert.match(failures[0]?.error ?? '', /^exited with 3/);
});

test('a file that hangs fails in time and names the test', async () => {
  const { passed, failures } = await runText(
    `${HEAD} test('good', () => {}); test('stuck', () => new Promise(() => setInterval(() => {}, 1000)));`,
    'unit',
    1,
  );
  assert.equal(passed, 1);
  assert.deepEqual(failures, [
    { name: 'the file ends well', error: 'did not end within 1 s; the last test to start was: stuck' },
  ]);
});

test('every test file has one group', () => {
  assert.equal(groupOf('src/base/ip.test.ts'), 'unit');
  assert.equal(groupOf('tools/layers/layers.test.ts'), 'unit');
  assert.equal(groupOf('src/netlink/link.netns.test.ts'), 'kernel');
  assert.equal(groupOf('test/conformance/store.test.ts'), 'kernel');
});

test('a file may set its own time limit', () => {
  assert.equal(timeoutOf('/** What. */\n// test-timeout: 300 s\n', 'kernel'), 300);
  assert.equal(timeoutOf('// a test-timeout: 300 s is what it needs', 'kernel'), 120);
  assert.equal(timeoutOf('', 'unit'), 30);
});
