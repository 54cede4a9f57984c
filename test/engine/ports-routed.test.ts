/** Published ports of routed networks, where no port of the host is used and none is held; default addresses of IPv6; isolated networks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GATEWAY_MODE_OPTION } from '../../src/model/gateway-mode.ts';
import { parsePortSpec } from '../../src/model/ports-parse.ts';
import { bindingText } from '../../src/model/ports-text.ts';
import { HOST_BINDING_OPTION } from '../../src/model/ports.ts';
import { type Bench, start } from './setup.ts';

const texts = ({ engine }: Bench, name: string): string[] => (engine.sandboxes.get(name).ports ?? []).map(bindingText);
const held = ({ kernel }: Bench): string[] => [...kernel.hostPorts.held].toSorted();
const opened = ({ kernel }: Bench): string[] =>
  [...kernel.tables.values()].flatMap(({ sets }) => ['open4', 'open6'].flatMap((set) => Object.keys(sets[set] ?? {})));

const routed = (bench: Bench, families: readonly (4 | 6)[]) =>
  bench.engine.networks.create({
    name: 'net',
    ipv6: true,
    pools: [{ subnet: '10.9.0.0/24' }, { subnet: 'fd00:9::/64' }],
    options: Object.fromEntries(families.map((family) => [GATEWAY_MODE_OPTION[family], 'routed'])),
  });

const create = (bench: Bench, name: string, ...ports: readonly string[]) =>
  bench.engine.sandboxes.create({ name, networks: [{ network: 'net' }], ports: ports.map(parsePortSpec) });

test('many sandboxes publish one number, and what was published goes with its sandbox', async () => {
  await using bench = await start();
  await routed(bench, [4, 6]);
  await create(bench, 'one', '8080:80', '53/udp');
  await create(bench, 'two', '8080:80');
  assert.deepEqual(texts(bench, 'one'), [
    '80/tcp (routed, IPv4)',
    '80/tcp (routed, IPv6)',
    '53/udp (routed, IPv4)',
    '53/udp (routed, IPv6)',
  ]);
  assert.deepEqual(held(bench), []);
  assert.equal(opened(bench).length, 6);
  await bench.engine.sandboxes.unpublish('one', [parsePortSpec('8080:80')]);
  assert.deepEqual(texts(bench, 'one'), ['53/udp (routed, IPv4)', '53/udp (routed, IPv6)']);
  assert.equal(opened(bench).length, 4);
  await bench.engine.sandboxes.remove('one');
  await bench.engine.sandboxes.remove('two');
  assert.deepEqual(opened(bench), []);
});

test('a family each: the other one has a port of the host', async () => {
  await using bench = await start();
  await routed(bench, [6]);
  await create(bench, 'one', '8080:80');
  assert.deepEqual(texts(bench, 'one'), ['0.0.0.0:8080->80/tcp', '80/tcp (routed, IPv6)']);
  assert.deepEqual(held(bench), ['tcp 0.0.0.0 8080']);
  await bench.engine.sandboxes.unpublish('one', [parsePortSpec('80')]);
  assert.deepEqual([texts(bench, 'one'), held(bench), opened(bench)], [[], [], []]);
});

test('ports follow to a way out that is routed, and back', async () => {
  await using bench = await start();
  await routed(bench, [4, 6]);
  await bench.engine.sandboxes.create({ name: 'one', networks: [{ network: 'bridge' }], ports: [parsePortSpec('8080:80')] });
  assert.deepEqual(held(bench), ['tcp 0.0.0.0 8080']);
  await bench.engine.networks.connect('net', { sandbox: 'one', endpoint: { gatewayPriority: 1 } });
  assert.deepEqual(texts(bench, 'one'), ['80/tcp (routed, IPv4)', '80/tcp (routed, IPv6)']);
  assert.deepEqual([held(bench), opened(bench).length], [[], 2]);
  await bench.engine.networks.disconnect('net', 'one');
  assert.deepEqual(texts(bench, 'one'), ['0.0.0.0:8080->80/tcp']);
  assert.deepEqual([held(bench), opened(bench)], [['tcp 0.0.0.0 8080'], []]);
});

test('a default address of IPv6 is of IPv6 alone, whatever the option is called', async () => {
  await using bench = await start();
  for (const [name, address] of [
    ['local', '::1'],
    ['any', '::'],
  ] as const) {
    const options = { [HOST_BINDING_OPTION]: address };
    await bench.engine.networks.create({ name, ipv6: true, options });
    await bench.engine.sandboxes.create({ name: `on-${name}`, networks: [{ network: name }], ports: [parsePortSpec('80')] });
  }
  assert.deepEqual(held(bench), ['tcp :: 32769', 'tcp ::1 32768']);
});

test('an isolated network has no gateway, unless one is asked for, and that is no address of the host', async () => {
  await using bench = await start();
  const isolated = { [GATEWAY_MODE_OPTION[4]]: 'isolated' };
  const make = async (name: string, pool: { readonly subnet: string; readonly gateway?: string }) =>
    (await bench.engine.networks.create({ name, internal: true, pools: [pool], options: isolated })).value.pools[0]?.gateway;
  assert.equal(await make('one', { subnet: '10.9.1.0/24' }), null);
  assert.equal(await make('two', { subnet: '10.9.2.0/24', gateway: '10.9.2.9' }), '10.9.2.9');
  const { endpoints } = (await bench.engine.sandboxes.create({ name: 'box', networks: [{ network: 'one' }] })).value;
  assert.equal(endpoints[0]?.ipv4, '10.9.1.1/24');
  await assert.rejects(bench.engine.networks.create({ name: 'three', options: isolated }), {
    kind: 'invalid',
    message: "gateway mode 'isolated' can only be used for an internal network",
  });
});
