/** A rule of ours in a chain of others, as iptables leaves it. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { silentLogger } from '../base/clock.ts';
import type { Change } from '../contracts/change.ts';
import { createKernel } from './kernel.ts';

const sh = (command: string): string =>
  execFileSync('sh', ['-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
const rule = (op: 'add' | 'remove', owner = 'moortest'): Change => ({
  kind: 'nft-rule',
  op,
  family: 'ip',
  table: 'filter',
  chain: 'DOCKER-USER',
  rule: { expr: 'meta mark & 0x00001000 == 0x00001000 accept', comment: `${owner}: forwarded` },
});
const rules = (): string[] => sh('iptables -S DOCKER-USER').trim().split('\n').slice(1);

for (const forceNftProgram of [false, true]) {
  test(`a rule that iptables-restore put back is the same rule, ${forceNftProgram ? 'by nft' : 'in process'}`, async () => {
    await using kernel = await createKernel({
      instance: { id: 'test', dataRoot: '/run/moor-test/data', execRoot: '/run/moor-test' },
      tableName: 'moortest',
      logger: silentLogger,
      forceNftProgram,
    });
    const apply = async (change: Change): Promise<string | undefined> => (await kernel.apply([change]))[0]?.state;
    await using _chain = {
      [Symbol.asyncDispose]: async () => void sh('nft delete table ip filter'),
    };
    sh('iptables -N DOCKER-USER && iptables -A DOCKER-USER -m comment --comment theirs -j RETURN');
    const before = rules();
    assert.equal(await apply(rule('add')), 'changed');
    const saved = rules();
    assert.equal(saved.length, 2);
    sh('iptables-save > /run/moor-saved && iptables-restore < /run/moor-saved; rm /run/moor-saved');
    assert.deepEqual(rules(), saved);
    assert.doesNotMatch(sh('nft list chain ip filter DOCKER-USER'), /comment "moortest/, 'iptables keeps comments elsewhere');
    assert.equal(await apply(rule('add')), 'already');
    assert.deepEqual(rules(), saved);
    assert.equal(await apply(rule('remove')), 'changed');
    assert.deepEqual(rules(), before);
    assert.equal(await apply(rule('remove')), 'already');
  });
}

test("the same rule with somebody else's comment is theirs", async () => {
  await using kernel = await createKernel({
    instance: { id: 'test', dataRoot: '/run/moor-test/data', execRoot: '/run/moor-test' },
    tableName: 'moortest',
    logger: silentLogger,
  });
  await using _chain = { [Symbol.asyncDispose]: async () => void sh('nft delete table ip filter') };
  sh('iptables -N DOCKER-USER');
  assert.equal((await kernel.apply([rule('add', 'other')]))[0]?.state, 'changed');
  assert.equal((await kernel.apply([rule('remove')]))[0]?.state, 'already');
  assert.equal((await kernel.apply([rule('add')]))[0]?.state, 'changed');
  assert.equal(rules().length, 2);
  assert.equal((await kernel.apply([rule('remove')]))[0]?.state, 'changed');
  assert.match(rules().join('\n'), /other: forwarded/);
  assert.equal((await kernel.apply([rule('remove')]))[0]?.state, 'already');
});
