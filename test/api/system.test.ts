/** Ping, version, info, events, containers, and what is not built. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerInspectResponse, ContainerSummary, EventMessage, SystemInfo, SystemVersion } from '@docker/node-sdk';
import { DOCKER_ROUTES } from '../../src/docker/routes.ts';
import { UNSUPPORTED } from '../../src/docker/unsupported.ts';
import { startApi, type TestApi } from '../support/api.ts';

test('ping', async () => {
  await using api = await startApi();
  const get = await api.call('GET', '/_ping');
  assert.deepEqual([get.status, get.text, get.headers['cache-control']], [200, 'OK', 'no-cache, no-store, must-revalidate']);
  assert.match(String(get.headers['content-type']), /^text\/plain/);
  const head = await api.call('HEAD', '/v1.40/_ping');
  assert.deepEqual([head.status, head.text, head.headers['api-version']], [200, '', '1.51']);
});

test('version and info', async () => {
  await using api = await startApi();
  const version = (await api.call('GET', '/version')).json() as SystemVersion;
  assert.equal(version.ApiVersion, '1.51');
  assert.equal(version.MinAPIVersion, '1.24');
  assert.equal(version.Os, 'linux');
  assert.equal(version.Arch, 'amd64');
  assert.equal(version.Components?.[0]?.Name, 'Engine');
  await api.engine.sandboxes.create({ name: 'box1' });
  const info = (await api.call('GET', '/info')).json() as SystemInfo;
  assert.equal(info.Containers, 1);
  assert.equal(info.ContainersRunning, 0);
  assert.deepEqual(info.Plugins?.Network, ['bridge', 'host', 'null']);
  assert.equal(info.ServerVersion, '0.0.1');
  assert.equal(info.OSType, 'linux');
});

async function events(api: TestApi, query: string): Promise<readonly EventMessage[]> {
  const answer = await api.call('GET', `/events?${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as EventMessage);
}

test('kept events, filtered, until a time that has passed', async () => {
  await using api = await startApi();
  const since = Math.floor(api.now() / 1000) + 1; // after the networks that the start makes
  await api.call('POST', '/networks/create', { Name: 'neta' });
  await api.engine.sandboxes.create({ name: 'box1', networks: [{ network: 'neta' }] });
  await api.call('DELETE', '/containers/box1');
  await api.call('DELETE', '/networks/neta');
  const until = Math.floor(api.now() / 1000);
  const seen = await events(api, `since=${since}&until=${until}`);
  assert.deepEqual(
    seen.map(({ Type, Action }) => `${Type} ${Action}`),
    ['network create', 'container create', 'network connect', 'network disconnect', 'container destroy', 'network destroy'],
  );
  assert.deepEqual(seen[0]?.Actor?.Attributes, { name: 'neta', type: 'bridge' });
  const filter = (value: unknown): string => encodeURIComponent(JSON.stringify(value));
  const some = await events(
    api,
    `since=${since}&until=${until}&filters=${filter({ type: ['network'], event: ['connect', 'disconnect'] })}`,
  );
  assert.deepEqual(
    some.map(({ Action }) => Action),
    ['connect', 'disconnect'],
  );
  const bad = await api.call('GET', `/events?since=${until}&until=${since}`);
  assert.equal(bad.status, 400);
  assert.match(bad.text, /`since` time \(\d+\) cannot be after `until` time \(\d+\)/);
  assert.equal((await api.call('GET', '/events?since=soon')).status, 400);
});

test('a stream goes on until the daemon stops', async () => {
  await using api = await startApi();
  const answer = events(api, 'filters=%7B%22type%22%3A%5B%22network%22%5D%7D');
  await new Promise((done) => setImmediate(done));
  await api.call('POST', '/networks/create', { Name: 'later' });
  api.stop();
  assert.deepEqual(
    (await answer).map(({ Actor }) => Actor?.Attributes?.['name']),
    ['later'],
  );
});

test('sandboxes as containers', async () => {
  await using api = await startApi();
  await api.call('POST', '/networks/create', { Name: 'neta', IPAM: { Config: [{ Subnet: '10.1.0.0/24' }] } });
  const { value: box } = await api.engine.sandboxes.create({
    name: 'box1',
    labels: { tier: 'web' },
    networks: [{ network: 'neta', endpoint: { ipv4: '10.1.0.5', aliases: ['web'] } }, { network: 'bridge' }],
  });
  const list = async (query: string): Promise<readonly ContainerSummary[]> =>
    (await api.call('GET', `/containers/json?${query}`)).json() as ContainerSummary[];
  assert.deepEqual(await list(''), [], 'it has no process, so it does not run');
  const [row] = await list('all=1');
  assert.equal(row?.Id, box.id);
  assert.deepEqual(row?.Names, ['/box1']);
  assert.equal(row?.State, 'created');
  assert.equal(row?.Status, 'Created');
  assert.deepEqual(Object.keys(row?.NetworkSettings?.Networks ?? {}), ['neta', 'bridge']);

  api.alive.add(99);
  await api.engine.sandboxes.setProcess('box1', { pid: 99, startTime: '1', command: ['sleep', '60'] });
  const [running] = await list('');
  assert.equal(running?.State, 'running');
  assert.match(running?.Status ?? '', /^Up /);
  assert.equal(running?.Command, 'sleep 60');
  for (const [filters, count] of [
    ['{"name":["box"]}', 1],
    ['{"name":["^/box1$"]}', 1],
    ['{"network":["neta"]}', 1],
    ['{"network":["none"]}', 0],
    ['{"label":["tier=web"]}', 1],
    ['{"status":["exited"]}', 0],
  ] as const) {
    assert.equal((await list(`filters=${encodeURIComponent(filters)}`)).length, count, filters);
  }

  const inspect = (await api.call('GET', '/containers/box1/json')).json() as ContainerInspectResponse;
  assert.equal(inspect.Name, '/box1');
  assert.equal(inspect.State?.Running, true);
  assert.equal(inspect.State?.Pid, 99);
  const settings = inspect.NetworkSettings?.Networks?.['neta'];
  assert.equal(settings?.IPAddress, '10.1.0.5');
  assert.equal(settings?.IPPrefixLen, 24);
  assert.equal(settings?.Gateway, '10.1.0.1');
  assert.deepEqual(settings?.IPAMConfig, { IPv4Address: '10.1.0.5' });
  assert.deepEqual(settings?.Aliases, ['web']);
  assert.deepEqual(settings?.DNSNames, ['box1', 'web', box.id.slice(0, 12)]);
  assert.equal(inspect.NetworkSettings?.SandboxKey, box.netns.type === 'host' ? '' : box.netns.path);

  const busy = await api.call('DELETE', '/containers/box1');
  assert.equal(busy.status, 409);
  assert.match(busy.text, /container is running/);
  assert.equal((await api.call('DELETE', '/containers/box1?force=true')).status, 204);
  const gone = await api.call('GET', '/containers/box1/json');
  assert.deepEqual([gone.status, gone.json()], [404, { message: 'No such container: box1' }]);
});

test('what is not built says so, what does not exist is not found', async () => {
  await using api = await startApi();
  for (const area of UNSUPPORTED) {
    for (const entry of area.paths) {
      const [method = '', path = ''] = entry.split(' ');
      const url = `/v1.41${path.replaceAll(/:\w+/g, 'x').replace('*', 'library/x/json')}`;
      const answer = await api.call(method as 'GET', url);
      assert.equal(answer.status, 501, entry);
      if (method !== 'HEAD') assert.match(answer.text, /not supported by Moorline yet"\}$/, entry);
    }
  }
  for (const url of ['/containers/x/frobnicate', '/network', '/networks/a/b/c', '/moor/nothing']) {
    assert.equal((await api.call('GET', url)).status, 404, url);
  }
});

test('every route has one handler and a summary', () => {
  const seen = new Set<string>();
  for (const { method, path, summary } of DOCKER_ROUTES) {
    assert.ok(!seen.has(`${method} ${path}`), path);
    assert.notEqual(summary, '');
    seen.add(`${method} ${path}`);
  }
});
