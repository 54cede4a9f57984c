/** Bad input: each gets a clear 4xx (or 501 for what is not built), and nothing has changed. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startApi, type TestApi } from '../support/api.ts';

let api: TestApi;
before(async () => {
  api = await startApi();
  const made = await api.call('POST', '/networks/create', { Name: 'taken', IPAM: { Config: [{ Subnet: '10.50.0.0/24' }] } });
  assert.equal(made.status, 201, made.text);
  await api.engine.sandboxes.create({ name: 'box1', networks: [{ network: 'taken', endpoint: { ipv4: '10.50.0.9' } }] });
});
after(() => api[Symbol.asyncDispose]());

const net = (config: Readonly<Record<string, unknown>>, more: Readonly<Record<string, unknown>> = {}): unknown => ({
  Name: 'new',
  IPAM: { Config: [config] },
  ...more,
});

type Row = readonly [what: string, path: string, body: unknown, status: number, message: RegExp];

const CREATE = '/networks/create';
const ROWS: readonly Row[] = [
  ['not JSON', CREATE, 'Name=a', 400, /^invalid JSON: /],
  ['half of a JSON', CREATE, '{"Name":"a"', 400, /^invalid JSON: /],
  ['an array', CREATE, [], 400, /^invalid JSON: request body: expected object, got array$/],
  ['a number for a name', CREATE, { Name: 5 }, 400, /^invalid JSON: Name: expected string, got number$/],
  ['no name', CREATE, {}, 400, /name is empty/],
  ['an empty name', CREATE, { Name: '' }, 400, /name is empty/],
  ['a name of spaces', CREATE, { Name: '  ' }, 400, /name/],
  ['a slash in the name', CREATE, { Name: 'a/b' }, 400, /a\/b.*only \[a-zA-Z0-9\]\[a-zA-Z0-9_\.-\] are allowed/],
  ['a name of 4,096 characters', CREATE, { Name: 'n'.repeat(4096) }, 400, /4096 characters/],
  ['a name in use', CREATE, { Name: 'taken' }, 409, /^network with name taken already exists$/],
  ['a predefined name', CREATE, { Name: 'host' }, 403, /^operation is not permitted on predefined host network/],
  [
    'a subnet in use',
    CREATE,
    net({ Subnet: '10.50.0.0/24' }),
    403,
    /^invalid pool request: Pool overlaps with other one on this address space/,
  ],
  [
    'a larger subnet around it',
    CREATE,
    net({ Subnet: '10.50.0.0/16' }),
    403,
    /Pool overlaps with other one on this address space/,
  ],
  [
    'a smaller one inside it',
    CREATE,
    net({ Subnet: '10.50.0.128/25' }),
    403,
    /Pool overlaps with other one on this address space/,
  ],
  ['host bits', CREATE, net({ Subnet: '10.60.0.1/24' }), 400, /invalid subnet 10\.60\.0\.1\/24: it should be 10\.60\.0\.0\/24/],
  ['/33', CREATE, net({ Subnet: '10.60.0.0/33' }), 400, /10\.60\.0\.0\/33/],
  ['an octal subnet', CREATE, net({ Subnet: '010.60.0.0/24' }), 400, /010\.60\.0\.0\/24/],
  ['no subnet at all', CREATE, net({ Subnet: 'x' }), 400, /invalid subnet x/],
  ['a gateway outside', CREATE, net({ Subnet: '10.60.0.0/24', Gateway: '10.61.0.1' }), 400, /gateway.*10\.61\.0\.1/],
  [
    'a v4 gateway on a v6 subnet',
    CREATE,
    net({ Subnet: 'fd01::/64', Gateway: '10.60.0.1' }, { EnableIPv6: true }),
    400,
    /gateway.*10\.60\.0\.1/,
  ],
  ['a range outside', CREATE, net({ Subnet: '10.60.0.0/24', IPRange: '10.61.0.0/25' }), 400, /range.*10\.61\.0\.0\/25/],
  ['a range larger than the subnet', CREATE, net({ Subnet: '10.60.0.0/24', IPRange: '10.60.0.0/16' }), 400, /range/],
  [
    'an auxiliary address outside',
    CREATE,
    net({ Subnet: '10.60.0.0/24', AuxiliaryAddresses: { a: '10.61.0.1' } }),
    400,
    /10\.61\.0\.1|auxiliary address a/,
  ],
  ['an unknown driver', CREATE, { Name: 'new', Driver: 'warp' }, 404, /warp/],
  ['a driver that makes no networks', CREATE, { Name: 'new', Driver: 'host' }, 403, /host/],
  ['an unknown IPAM driver', CREATE, { Name: 'new', IPAM: { Driver: 'oracle' } }, 404, /oracle/],
  [
    'an unknown option',
    CREATE,
    { Name: 'new', Options: { 'com.docker.network.bridge.colour': 'red' } },
    400,
    /unknown option com\.docker\.network\.bridge\.colour/,
  ],
  [
    'a bad value of an option',
    CREATE,
    { Name: 'new', Options: { 'com.docker.network.driver.mtu': 'big' } },
    400,
    /com\.docker\.network\.driver\.mtu/,
  ],
  ['a bridge name in use', CREATE, { Name: 'new', Options: { 'com.docker.network.bridge.name': 'moor0' } }, 409, /bridge name/],
  ['a flag of old that is no boolean', CREATE, { Name: 'new', CheckDuplicate: 'yes' }, 400, /CheckDuplicate: expected boolean/],
  ['config-only', CREATE, { Name: 'new', ConfigOnly: true }, 501, /not supported/],
  ['ingress', CREATE, { Name: 'new', Ingress: true }, 501, /not supported/],
  ['swarm scope', CREATE, { Name: 'new', Scope: 'swarm' }, 400, /scope|swarm/],
  ['connect to no network', '/networks/nope/connect', { Container: 'box1' }, 404, /^network nope not found$/],
  ['connect nobody', '/networks/taken/connect', {}, 400, /^invalid container name or ID: value is empty$/],
  ['disconnect nobody from nowhere', '/networks/nope/disconnect', { Container: 'nope' }, 404, /^No such container: nope$/],
  ['the same by force', '/networks/nope/disconnect', { Container: 'nope', Force: true }, 404, /^network nope not found$/],
  ['connect an unknown sandbox', '/networks/bridge/connect', { Container: 'nope' }, 404, /^No such container: nope$/],
  ['connect twice', '/networks/taken/connect', { Container: 'box1' }, 403, /already exists in network taken/],
  [
    'a fixed address without a fixed subnet',
    '/networks/bridge/connect',
    { Container: 'box1', EndpointConfig: { IPAMConfig: { IPv4Address: '172.17.0.9' } } },
    400,
    /user specified IP address is supported (only )?(on|when)/,
  ],
  ['a bad MAC', '/networks/bridge/connect', { Container: 'box1', EndpointConfig: { MacAddress: 'zz' } }, 400, /MAC/],
  [
    'a bad address',
    '/networks/bridge/connect',
    { Container: 'box1', EndpointConfig: { IPAMConfig: { IPv4Address: '1.2.3' } } },
    400,
    /1\.2\.3/,
  ],
  [
    'connect to the host network',
    '/networks/host/connect',
    { Container: 'box1' },
    400,
    /cannot connect container to host network/,
  ],
  [
    'a link that is none',
    '/networks/bridge/connect',
    { Container: 'box1', EndpointConfig: { Links: [':a'] } },
    400,
    /bad format for links: :a/,
  ],
  [
    'an alias that nobody can ask for',
    '/networks/bridge/connect',
    { Container: 'box1', EndpointConfig: { Aliases: ['a..b'] } },
    400,
    /invalid network alias "a\.\.b"/,
  ],
  [
    'disconnect from what it is not on',
    '/networks/bridge/disconnect',
    { Container: 'box1' },
    409,
    /is not connected to (the )?network/,
  ],
  ['disconnect nobody', '/networks/taken/disconnect', { Container: '' }, 400, /value is empty/],
  ['our own: a misspelt field', '/moor/networks', { name: 'new', drivr: 'bridge' }, 400, /unknown field "drivr"/],
  ['our own: a number for a name', '/moor/networks', { name: 1 }, 400, /name: expected string, got number/],
  ['our own: a sandbox name in use', '/moor/sandboxes', { name: 'box1' }, 409, /box1/],
  ['our own: a bad sandbox name', '/moor/sandboxes', { name: 'a b' }, 400, /Invalid container name/],
  [
    'our own: an address in use',
    '/moor/sandboxes',
    { networks: [{ network: 'taken', endpoint: { ipv4: '10.50.0.9' } }] },
    409,
    /Address already in use/,
  ],
  [
    'our own: an address outside',
    '/moor/sandboxes',
    { networks: [{ network: 'taken', endpoint: { ipv4: '10.99.0.9' } }] },
    400,
    /10\.99\.0\.9/,
  ],
  ['our own: no such network', '/moor/sandboxes', { networks: [{ network: 'nope' }] }, 404, /network nope not found/],
];

const state = async (): Promise<string> => {
  const [networks, sandboxes] = [await api.call('GET', '/moor/networks'), await api.call('GET', '/moor/sandboxes')];
  return networks.text + sandboxes.text;
};

for (const [what, path, body, status, message] of ROWS) {
  test(what, async () => {
    const before = await state();
    const changes = api.kernel.log.length;
    const answer = await api.call('POST', path, body);
    assert.equal(answer.status, status, answer.text);
    assert.match((answer.json() as { message: string }).message, message);
    assert.equal(await state(), before, 'stored state');
    assert.equal(api.kernel.log.length, changes, 'nothing was asked of the kernel');
  });
}
