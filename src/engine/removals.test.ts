import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOST, type Change } from '../contracts/change.ts';
import type { Applied, Kernel } from '../contracts/kernel.ts';
import { Removals } from './removals.ts';

const removal = (name: string): Change => ({
  kind: 'link',
  op: 'remove',
  netns: HOST,
  link: { name, kind: { type: 'dummy' }, up: true },
});
const nameOf = (change: Change): string => (change.kind === 'link' ? change.link.name : '');

/** Answers only when told to. */
function slowKernel(): {
  readonly kernel: Pick<Kernel, 'apply'>;
  readonly batches: string[][];
  readonly answer: () => void;
  fail: boolean;
} {
  const answers: (() => void)[] = [];
  const slow = {
    batches: [] as string[][],
    fail: false,
    answer: (): void => answers.shift()?.(),
    kernel: {
      apply: async (changes: readonly Change[]): Promise<readonly Applied[]> => {
        slow.batches.push(changes.map(nameOf));
        await new Promise<void>((resolve) => answers.push(resolve));
        if (slow.fail) throw new Error('gone');
        return changes.map((change) => ({ state: nameOf(change) === 'b1' ? 'already' : 'changed' }));
      },
    },
  };
  return slow;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what comes while one is under way goes together, and each gets its own results', async () => {
  const slow = slowKernel();
  const removals = new Removals(slow.kernel);
  const a = removals.apply([removal('a')]);
  const b = removals.apply([removal('b0'), removal('b1')]);
  const c = removals.apply([removal('c')]);
  slow.answer();
  assert.deepEqual(await a, [{ state: 'changed' }]);
  await turn();
  slow.answer();
  assert.deepEqual(await b, [{ state: 'changed' }, { state: 'already' }]);
  assert.deepEqual(await c, [{ state: 'changed' }]);
  assert.deepEqual(slow.batches, [['a'], ['b0', 'b1', 'c']]);
});

test('a kernel that fails fails those in the batch, and the next one is tried', async () => {
  const slow = slowKernel();
  const removals = new Removals(slow.kernel);
  slow.fail = true;
  const a = removals.apply([removal('a')]);
  slow.answer();
  await assert.rejects(a, /gone/);
  slow.fail = false;
  const b = removals.apply([removal('b')]);
  await turn();
  slow.answer();
  assert.deepEqual(await b, [{ state: 'changed' }]);
});

test('links go first, and the results keep the order of the changes', async () => {
  const slow = slowKernel();
  const removals = new Removals(slow.kernel);
  const file: Change = { kind: 'file', path: '/x', value: null, old: 'x' };
  const done = removals.apply([file, removal('b1'), file, removal('c')]);
  slow.answer();
  assert.deepEqual(slow.batches, [['b1', 'c', '', '']]);
  assert.deepEqual(
    (await done).map(({ state }) => state),
    ['changed', 'already', 'changed', 'changed'],
  );
});
