/** Docker's `/networks` on the real engine: shapes, filters, statuses and texts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetworkInspect, NetworkSummary } from '@docker/node-sdk';
import { startApi, type TestApi } from '../support/api.ts';

const SUBNET = { Subnet: '192.168.7.0/24', Gateway: '192.168.7.1' };

async function create(api: TestApi, body: Readonly<Record<string, unknown>>): Promise<string> {
  const answer = await api.call('POST', '/networks/create', body);
  assert.equal(answer.status, 201, answer.text);
  return (answer.json() as { Id: string }).Id;
}

async function names(api: TestApi, filters?: object): Promise<readonly string[]> {
  const query = filters === undefined ? '' : `?filters=${encodeURIComponent(JSON.stringify(filters))}`;
  const answer = await api.call('GET', `/networks${query}`);
  assert.equal(answer.status, 200, answer.text);
  return (answer.json() as NetworkSummary[]).map(({ Name }) => Name ?? '').sort();
}

test('a new daemon has the three networks that Docker has', async () => {
  await using api = await startApi();
  assert.deepEqual(await names(api), ['bridge', 'host', 'none']);
  const bridge = (await api.call('GET', '/networks/bridge')).json() as NetworkInspect;
  assert.deepEqual(bridge.IPAM, {
    Driver: 'default',
    Options: null,
    Config: [{ Subnet: '172.17.0.0/16', Gateway: '172.17.0.1' }],
  });
  assert.deepEqual(bridge.Options, {
    'com.docker.network.bridge.default_bridge': 'true',
    'com.docker.network.bridge.enable_icc': 'true',
    'com.docker.network.bridge.enable_ip_masquerade': 'true',
    'com.docker.network.bridge.host_binding_ipv4': '0.0.0.0',
    'com.docker.network.bridge.name': 'moor0',
  });
  const none = (await api.call('GET', '/networks/none')).json() as NetworkInspect;
  assert.equal(none.Driver, 'null');
  assert.equal(none.IPAM?.Config, null);
});

test('inspect prints the fields that Docker prints, in its order', async () => {
  await using api = await startApi();
  const id = await create(api, {
    Name: 'my_net2',
    Driver: 'bridge',
    IPAM: {
      Driver: 'default',
      Options: {},
      Config: [{ ...SUBNET, IPRange: '192.168.7.128/25', AuxiliaryAddresses: { router: '192.168.7.9' } }],
    },
    Options: { 'com.docker.network.driver.mtu': '1400' },
    Labels: { owner: 'me' },
  });
  await api.engine.sandboxes.create({ name: 'box1', networks: [{ network: 'my_net2', endpoint: { ipv4: '192.168.7.10' } }] });
  const box = api.engine.sandboxes.get('box1');
  const [endpoint] = box.endpoints;
  const answer = await api.call('GET', '/v1.51/networks/my_net2');
  const expected = {
    Name: 'my_net2',
    Id: id,
    Created: api.engine.networks.get(id).created,
    Scope: 'local',
    Driver: 'bridge',
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: {
      Driver: 'default',
      Options: {},
      Config: [
        {
          Subnet: '192.168.7.0/24',
          IPRange: '192.168.7.128/25',
          Gateway: '192.168.7.1',
          AuxiliaryAddresses: { router: '192.168.7.9' },
        },
      ],
    },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: {
      [box.id]: {
        Name: 'box1',
        EndpointID: endpoint?.id,
        MacAddress: endpoint?.mac ?? 'no address',
        IPv4Address: '192.168.7.10/24',
        IPv6Address: '',
      },
    },
    Options: { 'com.docker.network.driver.mtu': '1400' },
    Labels: { owner: 'me' },
  };
  // As text: the order of fields is what the CLI prints.
  assert.equal(answer.text, JSON.stringify(expected));
  for (const reference of [id, id.slice(0, 12), id.slice(0, 5)]) {
    assert.equal((await api.call('GET', `/networks/${reference}`)).text, answer.text, reference);
  }
  const listed = ((await api.call('GET', '/v1.51/networks')).json() as NetworkInspect[]).find(({ Name }) => Name === 'my_net2');
  assert.deepEqual(listed, { ...expected, Containers: {} }, 'a list does not show who is attached');
  const old = ((await api.call('GET', '/v1.27/networks')).json() as NetworkInspect[]).find(({ Name }) => Name === 'my_net2');
  assert.deepEqual(old, expected, 'but before API 1.28 it does');
});

test('what was not given is empty, and IPv6 gets its own configuration', async () => {
  await using api = await startApi();
  const answer = await api.call('POST', '/networks/create', {
    Name: 'six',
    EnableIPv6: true,
    Labels: null,
    Options: null,
    IPAM: null,
  });
  assert.equal(answer.status, 201, answer.text);
  assert.deepEqual(Object.keys(answer.json() as object), ['Id', 'Warning']);
  const six = (await api.call('GET', '/networks/six')).json() as NetworkInspect;
  assert.deepEqual(six.Options, {});
  assert.deepEqual(six.Labels, {});
  assert.equal(six.EnableIPv6, true);
  assert.equal(six.IPAM?.Config?.[0]?.Subnet, '172.18.0.0/16');
  assert.match(six.IPAM?.Config?.[1]?.Subnet ?? '', /^fd[0-9a-f:]+::\/64$/);
});

test('list filters', async () => {
  await using api = await startApi();
  const web = await create(api, { Name: 'web_front', Labels: { tier: 'web', empty: '' } });
  await create(api, { Name: 'web_back', Internal: true, Labels: { tier: 'app' } });
  await create(api, { Name: 'data' });
  await api.engine.sandboxes.create({ name: 'box1', networks: [{ network: 'data' }] });
  for (const [filters, expected] of [
    [{ name: ['web'] }, ['web_back', 'web_front']],
    [{ name: ['web_front', 'data'] }, ['data', 'web_front']],
    [{ name: ['^data$'] }, ['data']],
    [{ name: ['nothing'] }, []],
    [{ id: [web.slice(0, 10)] }, ['web_front']],
    [{ driver: ['null', 'host'] }, ['host', 'none']],
    [{ driver: ['brid'] }, []],
    [{ type: ['custom'] }, ['data', 'web_back', 'web_front']],
    [{ type: ['builtin'] }, ['bridge', 'host', 'none']],
    [{ type: ['builtin', 'custom'] }, ['bridge', 'data', 'host', 'none', 'web_back', 'web_front']],
    [{ scope: ['local'], name: ['data'] }, ['data']],
    [{ scope: ['swarm'] }, []],
    [{ label: ['tier'] }, ['web_back', 'web_front']],
    [{ label: ['tier=web'] }, ['web_front']],
    [{ label: ['tier=web', 'empty'] }, ['web_front']],
    [{ label: ['tier=web', 'missing'] }, []],
    [{ dangling: ['true'] }, ['web_back', 'web_front']],
    [{ dangling: ['false'] }, ['bridge', 'data', 'host', 'none']],
  ] as const) {
    assert.deepEqual(await names(api, filters), expected, JSON.stringify(filters));
  }
  for (const [filters, message] of [
    ['{"colour":["x"]}', "invalid filter 'colour'"],
    ['{"type":["odd"]}', "invalid filter: 'type'='odd'"],
    ['{"dangling":["x"]}', `invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`],
    ['nonsense', 'invalid filter'],
  ] as const) {
    const answer = await api.call('GET', `/networks?filters=${encodeURIComponent(filters)}`);
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.json(), { message });
  }
});

test('inspect by scope and verbose', async () => {
  await using api = await startApi();
  assert.equal((await api.call('GET', '/networks/bridge?verbose=true&scope=local')).status, 200);
  const other = await api.call('GET', '/networks/bridge?scope=swarm');
  assert.deepEqual([other.status, other.json()], [404, { message: 'network bridge not found' }]);
  const verbose = await api.call('GET', '/networks/bridge?verbose=maybe');
  assert.equal(verbose.status, 400);
  assert.match(verbose.text, /invalid value for verbose: maybe/);
});

test('remove by name, by id, by prefix; in use and predefined ones stay', async () => {
  await using api = await startApi();
  const ids = [await create(api, { Name: 'neta' }), await create(api, { Name: 'netb' }), await create(api, { Name: 'netc' })];
  for (const reference of ['neta', ids[1] ?? '', (ids[2] ?? '').slice(0, 12)]) {
    const answer = await api.call('DELETE', `/networks/${reference}`);
    assert.deepEqual([answer.status, answer.text], [204, '']);
  }
  await create(api, { Name: 'used' });
  await api.engine.sandboxes.create({ name: 'box1', networks: [{ network: 'used' }] });
  const used = await api.call('DELETE', '/networks/used');
  assert.equal(used.status, 403);
  assert.match(
    used.text,
    /error while removing network: network used has active endpoints \(name:\\"box1\\" id:\\"[0-9a-f]{12}\\"\)/,
  );
  const predefined = await api.call('DELETE', '/networks/bridge');
  assert.deepEqual(
    [predefined.status, predefined.json()],
    [403, { message: 'bridge is a pre-defined network and cannot be removed' }],
  );
  const gone = await api.call('DELETE', '/networks/neta');
  assert.deepEqual([gone.status, gone.json()], [404, { message: 'network neta not found' }]);
});

test('prune: unused ones, by label and age', async () => {
  await using api = await startApi();
  const prune = async (filters: Readonly<Record<string, readonly string[]>>): Promise<unknown> =>
    (await api.call('POST', `/v1.41/networks/prune?filters=${encodeURIComponent(JSON.stringify(filters))}`)).json();
  await create(api, { Name: 'keep', Labels: { keep: 'yes' } });
  await create(api, { Name: 'drop', Labels: { keep: 'no' } });
  await create(api, { Name: 'used' });
  await api.engine.sandboxes.create({ name: 'box1', networks: [{ network: 'used' }] });
  assert.deepEqual(await prune({ until: ['1h'] }), { NetworksDeleted: null }, 'none is older than an hour');
  assert.deepEqual(await prune({ label: ['nobody'] }), { NetworksDeleted: null });
  assert.deepEqual(await prune({ 'label!': ['keep=yes'] }), { NetworksDeleted: ['drop'] });
  assert.deepEqual(await prune({ until: [String(Math.ceil(api.now() / 1000))] }), { NetworksDeleted: ['keep'] });
  assert.deepEqual(await names(api, { type: ['custom'] }), ['used']);
  for (const filters of [{ name: ['x'] }, { until: ['1h', '2h'] }, { until: ['soon'] }]) {
    const answer = await api.call('POST', `/networks/prune?filters=${encodeURIComponent(JSON.stringify(filters))}`);
    assert.equal(answer.status, 400, answer.text);
  }
});

test('connect and disconnect', async () => {
  await using api = await startApi();
  await create(api, { Name: 'neta', IPAM: { Config: [SUBNET] } });
  await api.engine.sandboxes.create({ name: 'box1' });
  const connect = await api.call('POST', '/networks/neta/connect', {
    Container: 'box1',
    EndpointConfig: {
      IPAMConfig: { IPv4Address: '192.168.7.10', LinkLocalIPs: null },
      Aliases: ['web'],
      Links: null,
      MacAddress: '02:00:00:00:00:05',
      GwPriority: 3,
      DriverOpts: null,
    },
  });
  assert.deepEqual([connect.status, connect.text], [200, '']);
  const { Containers } = (await api.call('GET', '/networks/neta')).json() as NetworkInspect;
  const [attached] = Object.values(Containers ?? {}) as { MacAddress: string; IPv4Address: string }[];
  assert.equal(attached?.MacAddress, '02:00:00:00:00:05');
  assert.equal(attached?.IPv4Address, '192.168.7.10/24');
  const again = await api.call('POST', '/networks/neta/connect', { Container: 'box1' });
  assert.ok(again.status >= 400 && again.status < 500, again.text);
  const taken = await api.engine.sandboxes.create({ name: 'box2', networks: [] }).then(() =>
    api.call('POST', '/networks/neta/connect', {
      Container: 'box2',
      EndpointConfig: { IPAMConfig: { IPv4Address: '192.168.7.10' } },
    }),
  );
  assert.equal(taken.status, 403);
  assert.match(taken.text, /Address already in use/);
  const disconnect = await api.call('POST', '/networks/neta/disconnect', { Container: 'box1', Force: false });
  assert.deepEqual([disconnect.status, disconnect.text], [200, '']);
  const twice = await api.call('POST', '/networks/neta/disconnect', { Container: 'box1' });
  assert.ok(twice.status >= 400 && twice.status < 500, twice.text);
  assert.match(twice.text, /is not connected to/);
});
