import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Logger } from '../base/clock.ts';
import type { Change } from '../contracts/change.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Shortcut } from '../contracts/shortcut.ts';
import { loopbackOf } from '../drivers/bridge/loopback.ts';
import { baseTable } from '../drivers/bridge/table.ts';
import { createFakeKernel } from '../kernel/fake/fake.ts';
import { withShortcut } from './port-shortcut.ts';

const TABLE = { family: 'inet', name: 'moor' } as const;

/** Remembers what it was told, in the order of that. */
function recorder(
  full = false,
): Shortcut & { readonly told: string[]; readonly there: Map<string, string>; readonly objections: (string | null)[] } {
  const told: string[] = [];
  const there = new Map<string, string>();
  const objections: (string | null)[] = [];
  return {
    told,
    there,
    objections,
    allow: (objection) => void objections.push(objection),
    feature: { name: 'shortcut', state: 'yes', why: 'for a test' },
    set({ address, ports }, target) {
      if (full) throw new Error('no room');
      told.push(`set ${address}:${ports.from}`);
      there.set(`${address}:${ports.from}-${ports.to}`, `${target.address}:${target.port ?? 'same'}`);
    },
    remove({ address, ports }) {
      told.push(`remove ${address}:${ports.from}`);
      there.delete(`${address}:${ports.from}-${ports.to}`);
    },
    [Symbol.dispose]() {},
  };
}

const warnings: string[] = [];
const logger: Logger = {
  debug() {},
  info() {},
  warn: (_data: object, text: string) => void warnings.push(text),
  error() {},
};

const element = (op: 'add' | 'remove', ...[set, key, value]: readonly [set: string, key: string, value: string]): Change => ({
  kind: 'nft-element',
  op,
  table: TABLE,
  element: { set, key, value },
});

async function world(shortcut: Shortcut) {
  const kernel = createFakeKernel();
  await kernel.apply([{ kind: 'nft-table', op: 'add', table: baseTable(TABLE) }]);
  return { kernel, followed: withShortcut(kernel, { shortcut, table: TABLE, read: loopbackOf, logger }) };
}

const WEB = ['port4', 'tcp . 8080', '192.168.7.10 . 80'] as const;
const FTP = ['range4_at', 'tcp . 127.0.0.1 . 7000-7999', '192.168.7.10'] as const;

test('follows what is added and removed, a change of target within one plan, and nothing of other tables and protocols', async () => {
  const shortcut = recorder();
  const { followed } = await world(shortcut);
  const other: Change = {
    kind: 'nft-element',
    op: 'add',
    table: { family: 'ip', name: 'moor' },
    element: { set: 'port4', key: WEB[1], value: WEB[2] },
  };
  await followed.apply([
    element('add', ...WEB),
    element('add', ...FTP),
    element('add', 'port4', 'udp . 53', '192.168.7.10 . 53'),
  ]);
  assert.deepEqual(Object.fromEntries(shortcut.there), {
    '0.0.0.0:8080-8080': '192.168.7.10:80',
    '127.0.0.1:7000-7999': '192.168.7.10:same',
  });
  await followed.apply([element('remove', ...WEB), element('add', 'port4', 'tcp . 8080', '192.168.7.11 . 80')]);
  assert.equal(shortcut.there.get('0.0.0.0:8080-8080'), '192.168.7.11:80');
  await followed.apply([element('remove', ...FTP), element('remove', 'port4', 'tcp . 8080', '192.168.7.11 . 80'), other], {
    keepGoing: true,
  });
  assert.equal(shortcut.there.size, 0);
});

test('what could not be made leads nowhere, and what goes is gone before the kernel is asked', async () => {
  const shortcut = recorder();
  const { kernel, followed } = await world(shortcut);
  kernel.failWhen = (change) => change.kind === 'nft-element';
  await followed.apply([element('add', ...WEB)]);
  assert.deepEqual(shortcut.told, []);
  kernel.failWhen = undefined;
  await followed.apply([element('add', ...WEB)]);
  kernel.failWhen = () => {
    assert.equal(shortcut.there.size, 0, 'not led to what is going');
    return false;
  };
  await followed.apply([element('remove', ...WEB)]);
});

test('after a restart: what the table has, once', async () => {
  const shortcut = recorder();
  const { kernel, followed } = await world(shortcut);
  await kernel.apply([element('add', ...WEB), element('add', ...FTP)]);
  await followed.listTable({ family: 'inet', name: 'other' });
  assert.equal(shortcut.there.size, 0);
  await followed.listTable(TABLE);
  await followed.listTable(TABLE);
  assert.deepEqual(shortcut.told.toSorted(), ['set 0.0.0.0:8080', 'set 127.0.0.1:7000']);
});

test('without room nothing fails, and it is said once', async () => {
  const { followed } = await world(recorder(true));
  const results = await followed.apply([element('add', ...WEB), element('add', ...FTP)]);
  assert.deepEqual(
    results.map(({ state }) => state),
    ['changed', 'changed'],
  );
  assert.deepEqual(warnings, ['some ports at the loopback are translated: the shortcut has no room']);
});

test('not while a chain of somebody else’s may stop what the host sends', async () => {
  const shortcut = recorder();
  const chain = { family: 'ip', table: 'filter', chain: 'OUTPUT' } as const;
  const { kernel } = await world(shortcut);
  let foreignOutput: HostFacts['foreignOutput'];
  const changing = { ...kernel, facts: async () => ({ ...(await kernel.facts()), ...(foreignOutput && { foreignOutput }) }) };
  const followed = withShortcut(changing, { shortcut, table: TABLE, read: loopbackOf, logger });
  await followed.facts();
  assert.deepEqual(shortcut.objections, [], 'it may at first');
  foreignOutput = [chain];
  for (let i = 0; i < 2; i++) await followed.facts();
  foreignOutput = [];
  for (let i = 0; i < 2; i++) await followed.facts();
  const [objection, ...more] = shortcut.objections;
  assert.match(objection ?? '', /^chain OUTPUT of table ip filter may stop what this host sends/);
  assert.deepEqual(more, [null], 'told once each');
});

test('is one of the features that the daemon tells of', async () => {
  const { followed } = await world(recorder());
  assert.equal((await followed.features()).at(-1)?.name, 'shortcut');
});
