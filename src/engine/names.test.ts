import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Id } from '../base/ids.ts';
import { parseIfAddress } from '../base/ip.ts';
import type { Network } from '../model/network.ts';
import type { Endpoint, Sandbox } from '../model/sandbox.ts';
import { clientOf, isNamed, recordsOf } from './names.ts';

const id = (digit: string): Id => digit.repeat(64) as Id;
const BOX = id('5');

const network = (digit: string, name: string, more: Partial<Network> = {}): Network => ({
  id: id(digit),
  name,
  created: '',
  driver: 'bridge',
  scope: 'local',
  ipv4: true,
  ipv6: false,
  internal: false,
  attachable: false,
  options: {},
  labels: {},
  ipamDriver: 'default',
  ipamOptions: {},
  pools: [],
  predefined: false,
  ...more,
});
const DEFAULT = network('a', 'bridge', { predefined: true });
const FRONT = network('b', 'front');
const BACK = network('c', 'back');
const INNER = network('d', 'a-inner', { internal: true });
const NETWORKS = new Map([DEFAULT, FRONT, BACK, INNER].map((one) => [one.id, one]));

const endpoint = (digit: string, { id: networkId }: Network, more: Partial<Endpoint> = {}): Endpoint => ({
  id: id(digit),
  networkId,
  sandboxId: BOX,
  created: '',
  interfaceName: 'eth0',
  hostInterfaceName: 'veth0',
  mac: null,
  ipv4: parseIfAddress(`192.0.2.${Number.parseInt(digit, 16)}/24`),
  ipv6: null,
  requested: {},
  aliases: [],
  gatewayPriority: 0,
  options: {},
  ...more,
});
const sandbox = (endpoints: readonly Endpoint[], more: Partial<Sandbox> = {}): Sandbox => ({
  id: BOX,
  name: 'web',
  created: '',
  hostname: 'www',
  netns: { type: 'own', path: '/exec/netns/555' },
  labels: {},
  process: null,
  autoRemove: false,
  endpoints,
  ...more,
});
const client = (box: Sandbox, more: Partial<Parameters<typeof clientOf>[0]> = {}): ReturnType<typeof clientOf> =>
  clientOf({ networks: NETWORKS, daemonDns: undefined, resolvConf: 'nameserver 127.0.0.53\n', ...more }, box);

test('who is served: sandboxes with a stack of their own on a network that a user made', () => {
  for (const [box, served] of [
    [sandbox([endpoint('1', FRONT)]), true],
    [sandbox([endpoint('1', DEFAULT), endpoint('2', FRONT)]), true],
    [sandbox([endpoint('1', INNER)], { netns: { type: 'adopted', path: '/exec/netns/1', source: '/proc/1/ns/net' } }), true],
    [sandbox([endpoint('1', DEFAULT)]), false],
    [sandbox([]), false],
    [sandbox([endpoint('1', FRONT)], { netns: { type: 'host' } }), false],
    [sandbox([endpoint('1', network('e', 'unknown'))]), false],
  ] as const) {
    assert.equal(isNamed(NETWORKS, box), served);
    assert.equal(client(box) !== null, served);
  }
});

test('records: of endpoints on networks with names, with all addresses and all names', () => {
  const both = endpoint('2', FRONT, { aliases: ['db', 'web'], ipv6: parseIfAddress('2001:db8::2/64') });
  const bare = endpoint('3', BACK, { ipv4: null });
  assert.deepEqual(recordsOf(NETWORKS, sandbox([endpoint('1', DEFAULT), both, bare])), [
    {
      endpoint: id('2'),
      network: FRONT.id,
      names: ['web', 'db', '5'.repeat(12), 'www'],
      addresses: ['192.0.2.2', '2001:db8::2'],
    },
  ]);
});

test('networks of a client: the way out first, internal ones last, the default one never', () => {
  const order = (...endpoints: readonly Endpoint[]): readonly string[] | undefined =>
    client(sandbox(endpoints))?.networks.map(({ name }) => name);
  assert.deepEqual(order(endpoint('1', INNER), endpoint('2', FRONT), endpoint('3', BACK)), ['back', 'front', 'a-inner']);
  assert.deepEqual(order(endpoint('2', FRONT, { gatewayPriority: 1 }), endpoint('3', BACK)), ['front', 'back']);
  assert.deepEqual(order(endpoint('1', DEFAULT), endpoint('2', FRONT)), ['front']);
});

test('links: by lower-case alias, of every network', () => {
  const links = ['db:MySQL', '/cache:/web/redis', 'plain'];
  assert.deepEqual(client(sandbox([endpoint('1', FRONT, { links }), endpoint('2', BACK, { links: ['x:y'] })]))?.links, {
    mysql: 'db',
    redis: 'cache',
    plain: 'plain',
    y: 'x',
  });
});

test("upstreams: --dns from inside, else the daemon's from inside, else the host's from the host; none without a way out", () => {
  const box = sandbox([endpoint('1', FRONT)]);
  const own = { servers: ['192.0.2.53', '127.0.0.11', '192.0.2.53'], search: [], options: [] };
  const daemonDns = { servers: ['2001:db8::53'], search: [], options: [] };
  assert.deepEqual(client(box)?.upstreams, [{ address: '127.0.0.53', port: 53, from: 'host' }]);
  assert.deepEqual(client(box, { daemonDns })?.upstreams, [{ address: '2001:db8::53', port: 53, from: 'sandbox' }]);
  assert.deepEqual(client({ ...box, dns: own }, { daemonDns })?.upstreams, [
    { address: '192.0.2.53', port: 53, from: 'sandbox' },
  ]);
  assert.deepEqual(client(box, { resolvConf: '' })?.upstreams, []);
  assert.deepEqual(client(sandbox([endpoint('1', INNER)], { dns: own }))?.upstreams, []);
  assert.equal(client(sandbox([endpoint('1', INNER), endpoint('2', DEFAULT)]))?.upstreams.length, 1);
});

test('ndots of the user, above 0, is told: then a name without a dot is not forwarded', () => {
  const box = sandbox([endpoint('1', FRONT)]);
  const dns = (option: string): NonNullable<Sandbox['dns']> => ({ servers: [], search: [], options: [option] });
  assert.equal(client({ ...box, dns: dns('ndots:2') })?.ndots, true);
  assert.equal(client(box, { daemonDns: dns('ndots:1') })?.ndots, true);
  for (const option of ['ndots:0', 'ndots:00', 'ndots:x', 'timeout:1'])
    assert.equal(client({ ...box, dns: dns(option) })?.ndots, undefined);
});
