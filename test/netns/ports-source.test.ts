/** A sandbox on several networks answers by the one on which it was asked. The engine and real packets. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { GATEWAY_MODE_OPTION } from '../../src/model/gateway-mode.ts';
import { agent } from './agent.ts';
import { daemon } from './engine-daemon.ts';
import { at, HERE } from './packets.ts';

const WORLD = '/run/netns/far';

/** A machine outside, which has routes to the networks. */
async function world(stack: AsyncDisposableStack): Promise<void> {
  await at(HERE, 'ip', 'netns', 'add', 'far');
  stack.defer(async () => void (await at(HERE, 'ip', 'netns', 'del', 'far')));
  await at(HERE, 'ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'far');
  stack.defer(async () => void (await at(HERE, 'ip', 'link', 'del', 'up0')));
  for (const [place, device, n] of [
    [HERE, 'up0', 1],
    [WORLD, 'eth0', 2],
  ] as const) {
    await at(place, 'ip', 'address', 'add', `198.51.100.${n}/24`, 'dev', device);
    await at(place, 'ip', 'address', 'add', `2001:db8:1::${n}/64`, 'dev', device, 'nodad');
    await at(place, 'ip', 'link', 'set', device, 'up');
  }
  for (const n of [1, 2]) {
    await at(WORLD, 'ip', 'route', 'add', `10.${n}.0.0/24`, 'via', '198.51.100.1');
    await at(WORLD, 'ip', 'route', 'add', `fd00:${n}::/64`, 'via', '2001:db8:1::1');
  }
}

const rules = async (place: string): Promise<string[]> =>
  `${await at(place, 'ip', 'rule')}${await at(place, 'ip', '-6', 'rule')}`
    .trim()
    .split('\n')
    .map((line) =>
      line
        .replace(/lookup \d+/, 'lookup N')
        .trim()
        .replaceAll('\t', ' '),
    );

const USUAL = ['0: from all lookup local', '32766: from all lookup main', '32767: from all lookup default'];
const USUAL6 = ['0: from all lookup local', '32766: from all lookup main'];

test('answers leave by the interface of the request, and one network costs nothing', async () => {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync(`${tmpdir()}/moor-source-`);
  stack.defer(() => rmSync(root, { recursive: true, force: true }));
  const instance = { id: 'r', dataRoot: `${root}/data`, execRoot: `${root}/exec` };
  mkdirSync(instance.dataRoot);
  mkdirSync(instance.execRoot);
  await world(stack);
  const { engine } = stack.use(await daemon(instance));
  stack.defer(async () => void (await engine.reset()));
  for (const n of [1, 2]) {
    await engine.networks.create({
      name: `net${n}`,
      ipv6: true,
      pools: [{ subnet: `10.${n}.0.0/24` }, { subnet: `fd00:${n}::/64` }],
      options: { [GATEWAY_MODE_OPTION[4]]: 'nat-unprotected', [GATEWAY_MODE_OPTION[6]]: 'nat-unprotected' },
    });
  }
  await engine.sandboxes.create({ name: 'box', networks: [{ network: 'net1' }] });
  const { netns } = engine.sandboxes.get('box');
  assert.ok(netns.type === 'own');
  const box = netns.path;
  assert.deepEqual(await rules(box), [...USUAL, ...USUAL6]);

  await engine.networks.connect('net2', { sandbox: 'box', endpoint: { ipv4: '10.2.0.9', ipv6: 'fd00:2::9' } });
  assert.deepEqual(await engine.reconcile(), [], 'the plans and the dumps agree');
  const narrow = '32000: from all lookup main suppress_prefixlength 0';
  assert.deepEqual(await rules(box), [
    ...USUAL.toSpliced(1, 0, narrow, '32001: from 10.2.0.9 lookup N'),
    ...USUAL6.toSpliced(1, 0, narrow, '32001: from fd00:2::9 lookup N'),
  ]);
  // Nothing of the second network may leave by the first.
  await at(box, 'nft', 'add table inet t; add chain inet t c { type filter hook output priority 0; }');
  await at(box, 'nft', 'add rule inet t c oifname eth0 ip saddr 10.2.0.0/24 drop');
  await at(box, 'nft', 'add rule inet t c oifname eth0 ip6 saddr fd00:2::/64 drop');
  const [server, client] = [stack.use(agent(box)), stack.use(agent(WORLD))];
  await server.listen('tcp', 80);
  assert.equal(await client.ask('tcp', '10.2.0.9', 80), '198.51.100.2');
  assert.equal(await client.ask('tcp', 'fd00:2::9', 80), '2001:db8:1::2');
  // The control, which is also drift.
  for (const family of ['-4', '-6']) await at(box, 'ip', family, 'rule', 'del', 'pref', '32001');
  assert.equal(await client.tries('tcp', '10.2.0.9', 80), 'silence');
  assert.equal((await engine.reconcile()).length, 2);
  assert.equal(await client.ask('tcp', '10.2.0.9', 80), '198.51.100.2');

  // The other way round: another way out.
  await engine.networks.disconnect('net2', 'box');
  assert.deepEqual(await rules(box), [...USUAL, ...USUAL6]);
  await engine.networks.connect('net2', { sandbox: 'box', endpoint: { gatewayPriority: 1 } });
  const first = engine.sandboxes.get('box').endpoints[0]?.ipv4?.split('/')[0] ?? '';
  assert.equal(await client.ask('tcp', first, 80), '198.51.100.2');
  assert.match(await at(box, 'ip', 'route', 'get', '198.51.100.2', 'from', first), /via 10\.1\.0\.1 dev eth0/);
  assert.deepEqual(await engine.reconcile(), []);
});
