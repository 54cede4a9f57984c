/** The engine on the real kernel, the real store and real drift, in a namespace of its own. The truth comes from `ip` and `nft`. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import type { Engine } from '../../src/contracts/engine.ts';
import type { Instance } from '../../src/model/instance.ts';
import { daemon } from './engine-daemon.ts';
import { at, HERE, pings } from './packets.ts';

const HOST_SYSCTLS = ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'];

/** What must be the same afterwards. */
const traces = async (): Promise<string> =>
  [
    await at(HERE, 'ip', '-j', 'link'),
    await at(HERE, 'ip', '-j', 'route', 'show', 'table', 'all'),
    await at(HERE, 'nft', 'list', 'ruleset'),
    readFileSync('/proc/self/mountinfo', 'utf8'),
  ].join('\n');

/** A fresh instance; when the test ends everything of it is removed, and nothing may be left. */
async function instance(stack: AsyncDisposableStack): Promise<Instance> {
  const root = mkdtempSync(`${tmpdir()}/moor-engine-`);
  stack.defer(() => rmSync(root, { recursive: true, force: true }));
  const made: Instance = { id: 'e', dataRoot: `${root}/data`, execRoot: `${root}/exec` };
  mkdirSync(made.dataRoot);
  mkdirSync(made.execRoot);
  const before = await traces();
  const sysctls = HOST_SYSCTLS.map((key) => [key, readFileSync(`/proc/sys/${key}`, 'utf8')] as const);
  stack.defer(async () => {
    {
      await using last = await daemon(made);
      await last.engine.reset();
    }
    for (const [key, value] of sysctls) assert.equal(readFileSync(`/proc/sys/${key}`, 'utf8'), value, key);
    assert.equal(await traces(), before);
  });
  return made;
}

const inside = (engine: Engine, name: string): string => {
  const { netns } = engine.sandboxes.get(name);
  return netns.type === 'host' ? HERE : netns.path;
};

test('networks and sandboxes on the real kernel: packets pass, and nothing is to repair', async () => {
  await using stack = new AsyncDisposableStack();
  const at7 = await instance(stack);
  await using one = await daemon(at7);
  const { engine } = one;
  await engine.networks.create({ name: 'net', ipv6: true, pools: [{ subnet: '192.168.7.0/24' }] });
  await engine.networks.create({ name: 'other', internal: true });
  await engine.sandboxes.create({
    name: 'aa',
    networks: [{ network: 'net', endpoint: { ipv4: '192.168.7.10' } }, { network: 'other' }],
  });
  await engine.sandboxes.create({ name: 'bb', networks: [{ network: 'net' }] });
  await engine.sandboxes.create({ name: 'cc', networks: [] });
  await engine.networks.connect('other', { sandbox: 'cc', endpoint: {} });
  assert.equal(await pings(inside(engine, 'bb'), '192.168.7.10'), true);
  assert.equal(await pings(inside(engine, 'bb'), '192.168.7.1'), true);
  assert.equal(await pings(inside(engine, 'cc'), '192.168.7.10'), false);
  const six = engine.sandboxes.get('aa').endpoints[0]?.ipv6?.split('/')[0] ?? '';
  assert.equal(await pings(inside(engine, 'bb'), six), true);
  assert.deepEqual(await engine.reconcile(), [], 'the plans and the dumps agree');
  await engine.networks.connect('net', { sandbox: 'cc', endpoint: { gatewayPriority: 5 } });
  assert.match(await at(inside(engine, 'cc'), 'ip', 'route'), /default via 192\.168\.7\.1 dev eth1/);
  await engine.networks.disconnect('net', 'cc');
  assert.deepEqual(await engine.reconcile(), []);
});

test('a restart sends the kernel nothing: links, addresses, routes and rules are the same ones', async () => {
  await using stack = new AsyncDisposableStack();
  const made = await instance(stack);
  // Without the carrier: that of a new bridge without ports falls a second later.
  const truth = async (netns: string): Promise<string[]> =>
    [
      await at(HERE, 'ip', 'addr'),
      await at(HERE, 'ip', 'route'),
      await at(HERE, 'nft', '-a', 'list', 'ruleset'),
      await at(netns, 'ip', 'addr'),
      await at(netns, 'ip', 'route'),
    ].map((text) => text.replaceAll(/<[A-Z,_-]*>|\bstate [A-Z]+| ?\blinkdown\b/g, ''));
  let netns = '';
  {
    await using one = await daemon(made);
    await one.engine.networks.create({ name: 'net' });
    await one.engine.sandboxes.create({ name: 'aa', networks: [{ network: 'net' }] });
    netns = inside(one.engine, 'aa');
  }
  const before = await truth(netns);
  await using two = await daemon(made);
  assert.deepEqual(await truth(netns), before);
  assert.deepEqual(
    two.logger.messages('info').filter((line) => line.startsWith('set up')),
    [],
  );
  assert.equal(two.engine.sandboxes.get('aa').endpoints.length, 1);
});

test('real drift is repaired', async () => {
  await using stack = new AsyncDisposableStack();
  const made = await instance(stack);
  await using one = await daemon(made);
  const { engine, logger } = one;
  await engine.networks.create({ name: 'net', ipv6: true, pools: [{ subnet: '192.168.7.0/24' }] });
  const bridge = `br-${engine.networks.get('net').id.slice(0, 12)}`;
  await engine.sandboxes.create({ name: 'aa', networks: [{ network: 'net' }] });
  await engine.sandboxes.create({ name: 'bb', networks: [{ network: 'net' }] });
  const netns = inside(engine, 'aa');
  const veth = engine.sandboxes.get('aa').endpoints[0]?.hostInterfaceName ?? '';
  // Without handles, indexes, counters, and what the kernel makes up (MAC of host ends, link-local addresses).
  const truth = async (): Promise<string> =>
    [
      await at(HERE, 'bridge', 'link'),
      await at(HERE, 'ip', 'route'),
      await at(HERE, 'ip', '-6', 'route'),
      await at(HERE, 'nft', 'list', 'ruleset'),
      await at(netns, 'ip', '-br', 'addr'),
      await at(netns, 'ip', 'route'),
      await at(netns, 'ip', '-6', 'route', 'show', 'default'),
    ]
      .join('\n')
      .replaceAll(
        /^\d+: |@\S+|fe80:\S+|\bproto kernel |\bscope link |\bpref medium|\bmetric \d+|\blinkdown\b|\bproto static |\bstate \w+|\s+$/gm,
        '',
      )
      .split('\n')
      .map((line) => line.replaceAll(/\s+/g, ' ').trim())
      .toSorted()
      .join('\n');
  const before = await truth();
  const drift: Record<string, () => Promise<unknown>> = {
    'nft flush ruleset': () => at(HERE, 'nft', 'flush', 'ruleset'),
    'ip link del of a port': () => at(HERE, 'ip', 'link', 'del', veth),
    'ip route flush in a sandbox': () => at(netns, 'ip', 'route', 'flush', 'table', 'main'),
    'ip -6 route flush in a sandbox': () => at(netns, 'ip', '-6', 'route', 'flush', 'table', 'main'),
    'ip addr flush in a sandbox': () => at(netns, 'ip', 'addr', 'flush', 'dev', 'eth0'),
    'ip link set down in a sandbox': () => at(netns, 'ip', 'link', 'set', 'eth0', 'down'),
    'a port taken off its bridge': () => at(HERE, 'ip', 'link', 'set', veth, 'nomaster'),
    'the address of a bridge': () => at(HERE, 'ip', 'addr', 'del', '192.168.7.1/24', 'dev', bridge),
    'a bridge that is down': () => at(HERE, 'ip', 'link', 'set', bridge, 'down'),
    'ip link del of a bridge': () => at(HERE, 'ip', 'link', 'del', bridge),
  };
  for (const [what, by] of Object.entries(drift)) {
    await by();
    const until = performance.now() + 5000;
    for (;;) {
      const now = await truth();
      if (now === before) break;
      if (performance.now() > until)
        assert.equal(now, before, `${what}\n${logger.lines.map(({ message }) => message).join('\n')}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(await pings(inside(engine, 'bb'), '192.168.7.2'), true, what);
    assert.deepEqual(await engine.reconcile(), [], `${what}: nothing is left to repair`);
  }
});
