/** Gateway modes: who reaches a sandbox by its own address, and under which address it is seen outside. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Network } from '../../src/model/network.ts';
import { OPTION } from '../../src/drivers/bridge/options.ts';
import { HOST4, HOST6, LAN4, type Sandbox, WORLD4, WORLD6 } from './lab.ts';
import { at, HERE, PORT, pings, seenAs, silent } from './packets.ts';
import { asking, binding, createPortsLab, type PortsLab } from './ports-lab.ts';

/** A dual-stack network of that mode, with a sandbox that publishes two ports of three, and another network with one; everybody has routes. */
async function prepared(
  lab: PortsLab,
  mode: string,
  options = {},
): Promise<{ one: Network; a: Sandbox; b: Sandbox; c: Sandbox }> {
  const one = await lab.network('10.1.0.0/24 fd00:1::/64', {
    options: { [OPTION.gatewayMode4]: mode, [OPTION.gatewayMode6]: mode, ...options },
  });
  const two = await lab.network('10.2.0.0/24 fd00:2::/64');
  const [a, b, c] = [await lab.sandbox(one, 2), await lab.sandbox(one, 3), await lab.sandbox(two, 2)];
  for (const port of [80, 81, 9005]) await lab.agentAt(a.place).listen('tcp', port);
  for (const any of ['0.0.0.0', '::'])
    await lab.publish(one, a, binding(any, '8080:80/tcp'), binding(any, '8082:80/tcp'), binding(any, '9000-9009/tcp'));
  for (const [net, via] of [
    ['10.1.0.0/24', HOST4],
    ['fd00:1::/64', HOST6],
  ] as const)
    await at(lab.world, 'ip', 'route', 'add', net, 'via', via);
  return { one, a, b, c };
}

/** What becomes of connections to a sandbox's ports: published, in a range, not published; then over IPv6. */
async function assertAnswers(lab: PortsLab, [from, to]: readonly [string, Sandbox], expected: string): Promise<void> {
  const words = expected.split(' ');
  const targets = [to.ip, to.ip6].flatMap((ip) => [80, 9005, 81].map((port) => ({ ip, port })));
  const answers = targets.map(({ ip, port }, at) => asking(lab.agentAt(from), words[at] ?? '')('tcp', ip, port));
  assert.deepEqual(await Promise.all(answers), words);
}

const NOTHING = Array.from({ length: 6 }, () => 'silence').join(' ');
const only = (v4: string, v6: string): string => `${v4} ${v4} silence ${v6} ${v6} silence`;

test('routed: published ports are open at the sandbox itself, nothing is translated, no port of the host is used', async () => {
  await using lab = await createPortsLab();
  const { a, b, c } = await prepared(lab, 'routed');
  await assertAnswers(lab, [lab.world, a], only(WORLD4, WORLD6));
  await assertAnswers(lab, [c.place, a], only(c.ip, c.ip6));
  assert.ok(await pings(lab.world, a.ip));
  assert.ok(await pings(lab.world, a.ip6));
  assert.equal(await lab.agentAt(lab.world).ask('tcp', HOST4, 8080), 'refused');
  assert.equal(await lab.agentAt(lab.world).ask('tcp', HOST6, 8080), 'refused');
  // Of another sandbox nothing is published.
  assert.ok(await silent(lab.world, b.ip));
  assert.equal(await seenAs(a.place, WORLD4), a.ip);
});

test('nat-unprotected: whoever has a route reaches every port, but not from another network', async () => {
  await using lab = await createPortsLab();
  const { a, c } = await prepared(lab, 'nat-unprotected');
  const all = [WORLD4, WORLD4, WORLD4, WORLD6, WORLD6, WORLD6].join(' ');
  await assertAnswers(lab, [lab.world, a], all);
  await assertAnswers(lab, [c.place, a], NOTHING);
  assert.equal(await lab.agentAt(lab.world).ask('tcp', HOST4, 8080), WORLD4);
  assert.equal(await lab.agentAt(c.place).ask('tcp', HOST4, 8080), c.ip);
  assert.equal(await seenAs(a.place, WORLD4), HOST4);
});

test('nat: nobody has a way but by the host, unless by a trusted interface, to what is published', async () => {
  await using lab = await createPortsLab();
  const { a } = await prepared(lab, 'nat', { [OPTION.trusted]: 'lan0:other' });
  await assertAnswers(lab, [lab.world, a], NOTHING);
  assert.ok(await silent(lab.world, a.ip));
  for (const [port, expected] of [
    [80, LAN4],
    [9005, LAN4],
    [81, 'silence'],
  ] as const)
    assert.equal(await asking(lab.agentAt(lab.lan), expected)('tcp', a.ip, port), expected);
});

test('a family each: IPv4 by NAT, IPv6 routed', async () => {
  await using lab = await createPortsLab();
  const { a } = await prepared(lab, 'nat', { [OPTION.gatewayMode6]: 'routed' });
  await assertAnswers(lab, [lab.world, a], `silence silence silence ${WORLD6} ${WORLD6} silence`);
  assert.equal(await lab.agentAt(lab.world).ask('tcp', HOST4, 8080), WORLD4);
  assert.equal(await lab.agentAt(lab.world).ask('tcp', HOST6, 8080), 'refused');
  await at(HERE, 'ip', '-6', 'route', 'add', 'default', 'via', WORLD6);
  assert.deepEqual([await seenAs(a.place, WORLD4), await seenAs(a.place, WORLD6)], [HOST4, a.ip6]);
  await at(HERE, 'ip', '-6', 'route', 'del', 'default', 'via', WORLD6);
});

test('isolated: the host has no address in the network', async () => {
  await using lab = await createPortsLab();
  const options = { [OPTION.gatewayMode4]: 'isolated', [OPTION.gatewayMode6]: 'isolated', [OPTION.name]: 'apart' };
  const net = await lab.network('10.1.0.0/24 fd00:1::/64', { internal: true, options });
  const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
  assert.equal(await at(HERE, 'ip', '-o', 'address', 'show', 'dev', 'apart'), '');
  assert.equal(await seenAs(a.place, b.ip), a.ip);
  assert.equal(await seenAs(a.place, b.ip6), a.ip6);
  assert.ok(await silent(a.place, '10.1.0.1'));
  // The host sends what is not its own to the world, which may say that it does not know it either.
  assert.ok(['silence', 'ENETUNREACH'].includes(await lab.agentAt(HERE).tries('tcp', a.ip, PORT)));
});
