/** What other programs make of our rules: nft prints each as we write it, iptables can list the one that is a guest of its table. */
import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { render, renderElement, renderRule } from '../../nft/render.ts';
import { parseIp, parsePrefix } from '../../base/ip.ts';
import { parseTable } from '../../nft/parse.ts';
import type { NftElement } from '../../nft/types.ts';
import { DUAL, ENDPOINT6, endpoint, facts, id, INSTANCE, network } from './fixture.testing.ts';
import { planHost } from './host.ts';
import { planNetwork } from './plan.ts';
import { baseTable } from './table.ts';
import { OPTION } from './options.ts';
import { planPorts } from './ports.ts';

const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
const TABLE = { family: 'inet', name: 'moor' } as const;

/** Runs a script in a network namespace of its own. */
function inNamespace(script: string): string {
  const { status, stdout, stderr } = spawnSync('unshare', ['--net', 'sh', '-euc', script], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** As one shell word. */
const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

for (const options of [{}, { followed: true, localhost: true }]) {
  test(`nft prints the table as we write it: ${JSON.stringify(options)}`, () => {
    const table = baseTable(TABLE, options);
    assert.equal(inNamespace(`printf %s ${quote(render(table))} | nft -f -; nft list table inet moor`), render(table));
  });
}

/** Of every set and map of the table. */
function everyElement(): NftElement[] {
  const options = { [OPTION.trusted]: 'lan0', [OPTION.gatewayMode4]: 'nat-unprotected' };
  const routed = network({
    ...DUAL,
    id: id('22'),
    options: { [OPTION.gatewayMode4]: 'routed', [OPTION.gatewayMode6]: 'routed' },
  });
  const ports = ['0.0.0.0', '198.51.100.1', '::', '2001:db8::1'].flatMap((address) =>
    PROTOCOLS.flatMap((protocol) =>
      [8080, 9009].map((to) => ({
        protocol,
        hostAddress: parseIp(address),
        hostPorts: { from: to === 8080 ? to : 9000, to },
        containerPorts: { from: to === 8080 ? 80 : 9000, to: to === 8080 ? 80 : to },
      })),
    ),
  );
  const host = facts({ bridgeNf: true });
  return [
    ...planHost(TABLE, host),
    ...planNetwork(INSTANCE, network({ ...DUAL, options }), host),
    ...planNetwork(INSTANCE, routed, host),
    ...planNetwork(INSTANCE, network({ id: id('33'), ranges: [parsePrefix('10.244.0.0/16'), parsePrefix('fd44::/48')] }), host),
    ...planPorts(TABLE, network(DUAL), { endpoint: endpoint(ENDPOINT6), ports, facts: host }),
    ...planPorts(TABLE, routed, { endpoint: endpoint(ENDPOINT6), ports, facts: host }),
  ].flatMap((change) => (change.kind === 'nft-element' ? [change.element] : []));
}

test('nft prints the elements as we write them', () => {
  const elements = everyElement();
  const table = baseTable(TABLE);
  const wanted: Record<string, Record<string, string>> = Object.fromEntries(table.sets.map(({ name }) => [name, {}]));
  for (const { set, key, value = '' } of elements) (wanted[set] ??= {})[key] = value;
  for (const [set, entries] of Object.entries(wanted)) assert.notDeepEqual(entries, {}, `no element in ${set}`);
  const commands = elements.map((element) => `add element ${renderElement(TABLE, element)}`);
  const listing = inNamespace(
    `printf %s ${quote(render(table))} | nft -f -; printf %s ${quote(commands.join('\n'))} | nft -f -; nft -j list table inet moor`,
  );
  assert.deepEqual(parseTable(listing).sets, wanted);
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
