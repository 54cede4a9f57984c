/** What other programs make of our rules: nft prints each as we write it, iptables can list the one that is a guest of its table. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { render, renderElement, renderRule } from '../../nft/render.ts';
import { facts, network } from './fixture.testing.ts';
import { planHost } from './host.ts';
import { planNetwork } from './plan.ts';
import { baseTable } from './table.ts';
import { INSTANCE } from './fixture.testing.ts';

const TABLE = { family: 'inet', name: 'moor' } as const;

/** Runs a script in a network namespace of its own. */
function inNamespace(script: string): string {
  const { status, stdout, stderr } = spawnSync('unshare', ['--net', 'sh', '-euc', script], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** As one shell word. */
const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

test('nft prints the table as we write it', () => {
  const table = baseTable(TABLE);
  assert.equal(inNamespace(`printf %s ${quote(render(table))} | nft -f -; nft list table inet moor`), render(table));
});

test('nft prints the elements as we write them', () => {
  const elements = [...planHost(TABLE, facts()), ...planNetwork(INSTANCE, network(), facts())].flatMap((change) =>
    change.kind === 'nft-element' ? [change.element] : [],
  );
  assert.equal(elements.length, 9);
  const commands = elements.map((element) => `add element ${renderElement(TABLE, element)}`);
  const listing = inNamespace(
    `printf %s ${quote(render(baseTable(TABLE)))} | nft -f -; printf %s ${quote(commands.join('\n'))} | nft -f -; nft list table inet moor`,
  );
  // Every set holds at most one element of each kind here, so each is a line of its own or part of one.
  for (const { key, value } of elements) assert.ok(listing.includes(value === undefined ? key : `${key} : ${value}`), key);
});

describe('the rule beside Docker', () => {
  const docker = { family: 'ip', table: 'filter', chain: 'FORWARD', policy: 'drop', userChain: 'DOCKER-USER' } as const;
  const [rule] = planHost(TABLE, facts({ foreignForward: [docker] })).flatMap((change) =>
    change.kind === 'nft-rule' ? [change] : [],
  );
  assert.ok(rule);
  const prepare = `iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN;
    iptables -A FORWARD -j DOCKER-USER; nft ${quote(`insert rule ip filter DOCKER-USER ${renderRule(rule.rule)}`)}`;

  test('is listed by iptables, in front', () => {
    const listed = '-A DOCKER-USER -m mark --mark 0x1000/0x1000 -m comment --comment "moor: forwarded by Moorline" -j ACCEPT';
    assert.deepEqual(inNamespace(`${prepare}; iptables -S DOCKER-USER`).trim().split('\n'), [
      '-N DOCKER-USER',
      listed,
      '-A DOCKER-USER -j RETURN',
    ]);
    assert.ok(inNamespace(`${prepare}; iptables-save`).includes(listed));
  });

  test('survives iptables-save and iptables-restore', () => {
    const before = inNamespace(`${prepare}; iptables -S`);
    assert.equal(inNamespace(`${prepare}; iptables-save > /dev/null; iptables-save | iptables-restore; iptables -S`), before);
  });

  test('is printed by nft as we write it', () => {
    assert.ok(inNamespace(`${prepare}; nft list chain ip filter DOCKER-USER`).includes(`\t\t${renderRule(rule.rule)}\n`));
  });
});
